"""The kernels of the contour that Python calls, on the rows start … stop − 1: moments and J · v in O(n), whatever k.

Arrays are given by their addresses, an unwanted result by 0: logits, v, μ, 1 − μ and J · v (count, n); λ
(2, count), start and shift; counts and log-volumes (count,). ``scratch`` is the calling thread's memory. Where lanes
are items, rows stay where they are; where lanes are rows, they are brought into lanes first.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.elementary import log, total
from ksubset.backends._cpu.exchange import BELOW, SPAN, exchange, exchange_product, exchange_side
from ksubset.backends._cpu.exchange import KINDS as SERIES_KINDS
from ksubset.backends._cpu.factors import (
    deviation,
    deviation_and_derivative,
    integrand_by_factors,
    log_derivative,
)
from ksubset.backends._cpu.memory import load, load_items, rows_at_once, step, store_items
from ksubset.backends._cpu.nodes import KINDS, MOST, normalise, place_nodes, put_change
from ksubset.backends._cpu.power_sums import (
    deviation_polynomials,
    integrand_by_powers,
    polynomial,
    product_polynomials,
    sides,
    sum_powers,
)
from ksubset.backends._cpu.rows import carve, lanes_of, put_lanes, read_rows, room, write_rows
from ksubset.backends._cpu.search import find_tilt
from ksubset.backends._cpu.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.tables import table_at
from ksubset.backends._cpu.terms import TERMS, enough_terms
from ksubset.backends._cpu.variables import chunk, pushed, row_totals, variable
from ksubset.backends._cpu.vectors import any_lane, full, where, width, zeros

NUMBERS = KINDS * MOST + SERIES_KINDS * SPAN + 4 * (TERMS + 2) + 8 * TERMS + 16
"""Vectors of scratch memory beside the items."""


class Work(NamedTuple):
    """Scratch memory: rows brought into lanes, and tables of vectors."""

    x: Any
    v: Any
    y: Any
    level: Any
    nodes: Any
    part: Any
    sums: Any
    poly: Any
    series: Any


@inlined
def workspace(at, n, like):
    """Cut the scratch memory up."""
    lanes, items = width(like), room(n, like) if rows_at_once(like) > 1 else 0
    x, at = carve(at, 1, items, like)
    v, at = carve(at, 1, items, like)
    y, at = carve(at, 1, items, like)
    level, at = carve(at, 1, lanes, like)
    nodes, at = carve(at, 1, KINDS * MOST * lanes, like)
    part, at = carve(at, 1, 4 * TERMS * lanes, like)
    sums, at = carve(at, 1, 4 * TERMS * lanes, like)
    poly, at = carve(at, 1, 4 * (TERMS + 2) * lanes, like)
    series, at = carve(at, 1, SERIES_KINDS * SPAN * lanes, like)
    return Work(x, v, y, level, nodes, part, sums, poly, series)


@inlined
def brought(source, first, rows, n, x, like):
    """A row, or rows in lanes: the table that holds them, and where they start in it."""
    if rows_at_once(like) > 1:
        read_rows(source, first, rows, x, like)
        return x, 0
    return source, first * n


@inlined
def counts_of(k, same, first, rows, n, level, like):
    """k of every lane's row, NaN if it is out of range."""
    for r in range(width(like)):
        count = k[first + min(r, rows - 1)] if same < 0 else same
        level[r] = np.nan if count < 0 or count > n else count
    return load(level, 0, like)


class Sums(NamedTuple):
    """What a vector of rows is computed from: λ, Σpq, how rows are divided among the ways, nodes, terms, ΣAB."""

    start: Any
    shift: Any
    mean: Any
    few: Any
    size: int
    terms: int
    whole: Any
    total: Any


@inner
def solve_rows(source, at, v, v_at, n, start, shift, totals, work, tangents, like):
    """Everything that the answers about a vector of rows are computed from."""
    (spread, ahead, gap, mean), zero, one, size, count = totals, full(like, 0), full(like, 1), 0, 0
    few = (ahead == zero) & (spread < full(like, BELOW))
    whole, found = one, one
    if any_lane(few):
        whole = exchange(source, at, v, v_at, n, start, shift, mean, few, work.part, work.series, like)
    if any_lane(where(few, zero, one) > zero):
        reach = where(gap < zero, -gap, gap)
        size, period = place_nodes(spread, reach, work.nodes, like)
        count = enough_terms(spread, few, work.nodes)
        if count:
            sum_powers(source, at, v, v_at, n, start, shift, mean, count, tangents, work.part, work.sums, like)
            integrand_by_powers(work.nodes, size, work.sums, count, gap, tangents, like)
        else:
            integrand_by_factors(source, at, n, start, shift, ahead, work.nodes, size, work.part, like)
            if tangents:
                log_derivative(source, at, v, v_at, n, start, shift, mean, work.nodes, size, work.part, like)
        found = normalise(work.nodes, size, like) * full(like, 2) / period
    return Sums(start, shift, mean, few, size, count, whole, found)


@kernel
def solve(theta, k, same, n, count, begin, stop, shifts, volumes, mu, rest, scratch, end, layout):
    """λ as start and shift, and on request the log-volume and both marginals."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, shifts = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(shifts, count, zero)
    group, work = rows_at_once(zero), workspace(scratch, n, zero)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        source, at = brought(theta, first, rows, n, work.x, zero)
        target = counts_of(k, same, first, rows, n, work.level, zero)
        a, b, totals = find_tilt(source, at, n, target, zero)
        put_lanes(a, work.level, shifts, 0, first, rows)
        put_lanes(b, work.level, shifts, 1, first, rows)
        if volumes | mu | rest:
            found = solve_rows(source, at, source, at, n, a, b, totals, work, False, zero)
            if volumes:
                x = log_volume(source, at, n, found, zero)
                put_lanes(x, work.level, table_at(volumes, count, zero), 0, first, rows)
            if found.terms:
                deviation_polynomials(work.nodes, found.size, found.terms, work.poly, zero)
            if mu:
                write_marginals(source, at, n, found, work, table_at(mu, n, zero), first, rows, True, zero)
            if rest:
                write_marginals(source, at, n, found, work, table_at(rest, n, zero), first, rows, False, zero)
    restore_mode(mode)


@inner
def write_marginals(source, at, n, found, work, out, first, rows, chosen_side, like):
    """μ, or 1 − μ, of a vector of rows."""
    table, place, infinite, one = work.y, 0, full(like, np.inf), full(like, 1)
    if rows_at_once(like) == 1:
        table, place = out, first * n
    some, others = any_lane(found.few), found.size > 0
    for i in range(0, n, step(like)):
        y = load_items(source, at, i, n, -infinite)
        chosen, w, unlikely, c, lean = variable(y, found.start, found.shift)
        x, change = unlikely, unlikely
        if others:
            if found.terms:
                change = lean * polynomial(work.poly, 0, found.terms, c)
                change = change - polynomial(work.poly, found.terms, found.terms, c)
            else:
                change = deviation(work.nodes, found.size, c, lean)
            mu, rest = sides(chosen, unlikely, c, change)
            x = mu if chosen_side else rest
        if some:
            m = exchange_side(work.series, found.whole, chosen, w)
            other = one - m
            m = where(chosen, other, m) if chosen_side else where(chosen, m, other)
            x = where(found.few, m, x)
        store_items(table, place, i, n, x)
    if rows_at_once(like) > 1:
        write_rows(work.y, rows, out, first, like)


@inner
def log_volume(source, at, n, found, like):
    """log ΣAB, or log P + Σ log(1 + w)."""
    one, zero, outcome = full(like, 1), full(like, 0), full(like, 0)
    for first in range(0, n, chunk(like)):
        part = zero
        for i in range(first, min(first + chunk(like), n), step(like)):
            y = load_items(source, at, i, n, full(like, -np.inf))
            _, w, _, _, _ = variable(y, found.start, found.shift)
            part = part + log_of_more(w)
        outcome = outcome + total(part)
    return where(found.few, log_of_more(found.whole - one), outcome + log(found.total))


@inlined
def log_of_more(w):
    """log(1 + w) for w ≥ 0, with relative accuracy."""
    one = full(w, 1)
    u = one + w
    return log(u) + (w - (u - one)) / u


@kernel
def jacobian_product(theta, k, same, n, count, begin, stop, shifts, v, out, scratch, end, layout):
    """J · v; ``shifts`` is λ, or 0 if it is not known."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, v, out = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(v, n, zero), table_at(out, n, zero)
    group, work, known = rows_at_once(zero), workspace(scratch, n, zero), table_at(shifts, count, zero)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        source, at = brought(theta, first, rows, n, work.x, zero)
        along, place = brought(v, first, rows, n, work.v, zero)
        target = counts_of(k, same, first, rows, n, work.level, zero)
        if shifts:
            a = lanes_of(known, 0, first, rows, work.level, zero)
            b = lanes_of(known, 1, first, rows, work.level, zero)
        else:
            a, b, _ = find_tilt(source, at, n, target, zero)
        totals = row_totals(source, at, along, place, n, a, b, target, zero)
        found = solve_rows(source, at, along, place, n, a, b, totals, work, True, zero)
        if found.size:
            put_change(work.nodes, found.size, zero)
            if found.terms:
                product_polynomials(work.nodes, found.size, found.terms, work.poly, zero)
        write_product(source, at, along, place, n, found, work, out, first, rows, zero)
    restore_mode(mode)


@inner
def write_product(source, at, v, v_at, n, found, work, out, first, rows, like):
    """J · v of a vector of rows."""
    table, place, span = work.y, 0, found.terms + 2
    if rows_at_once(like) == 1:
        table, place = out, first * n
    some, others = any_lane(found.few), found.size > 0
    for i in range(0, n, step(like)):
        y = load_items(source, at, i, n, full(like, -np.inf))
        chosen, w, _, c, lean = variable(y, found.start, found.shift)
        direction = load_items(v, v_at, i, n, full(like, 0))
        u = pushed(direction, c, found.mean)
        x = u
        if others:
            if found.terms:
                x = u * (polynomial(work.poly, 0, span, c) + lean * polynomial(work.poly, span, span, c))
                x = x + c * (
                    lean * polynomial(work.poly, 2 * span, found.terms, c)
                    - polynomial(work.poly, 3 * span, found.terms, c)
                )
            else:
                value, derivative = deviation_and_derivative(work.nodes, found.size, c, lean, u)
                x = u + u * lean * value + c * derivative
        if some:
            x = where(
                found.few, exchange_product(work.series, found.whole, chosen, w, pushed(direction, w, found.mean)), x
            )
        store_items(table, place, i, n, x)
    if rows_at_once(like) > 1:
        write_rows(work.y, rows, out, first, like)
