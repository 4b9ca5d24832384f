"""The kernels of the contour that Python calls, on the rows start … stop − 1: moments and J · v in O(n), whatever k.

Arrays are given by their addresses, an unwanted result by 0: logits, v, μ, 1 − μ and J · v (count, n); λ
(2, count), start and shift; counts and log-partitions (count,). ``scratch`` is the calling thread's memory. Where lanes
are items, rows stay where they are; where lanes are rows, they are brought into lanes first.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.answers import log_partition, write_marginals, write_product
from ksubset.backends._cpu.kernels.exchange import BELOW, SPAN, exchange
from ksubset.backends._cpu.kernels.exchange import KINDS as SERIES_KINDS
from ksubset.backends._cpu.kernels.factors import integrand_by_factors, log_derivative
from ksubset.backends._cpu.kernels.nodes import KINDS, MOST, normalise, place_nodes, put_change
from ksubset.backends._cpu.kernels.power_sum_terms import TERMS, enough_terms
from ksubset.backends._cpu.kernels.power_sums import (
    deviation_polynomials,
    integrand_by_powers,
    product_polynomials,
    sum_powers,
)
from ksubset.backends._cpu.kernels.rows import carve, lanes_of, put_lanes, read_rows, room
from ksubset.backends._cpu.kernels.team import Row, team_of
from ksubset.backends._cpu.kernels.tilt import find_tilt
from ksubset.backends._cpu.kernels.variables import row_totals
from ksubset.backends._cpu.simd.memory import load, rows_at_once
from ksubset.backends._cpu.simd.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import any_lane, full, where, width, zeros

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
    board: Any


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
    return Work(x, v, y, level, nodes, part, sums, poly, series, at)


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


class Tilted(NamedTuple):
    """A vector of rows, k, λ as start and shift, and the totals of `find_tilt`."""

    row: Any
    k: Any
    start: Any
    shift: Any
    totals: Any


@inlined
def tilted_rows(theta, k, same, first, rows, n, work, team, like):
    """Rows first, … where their items are read from, and their tilt."""
    source, at = brought(theta, first, rows, n, work.x, like)
    row = Row(source, at, source, at, n, team)
    target = counts_of(k, same, first, rows, n, work.level, like)
    start, shift, totals = find_tilt(row, target, like)
    return Tilted(row, target, start, shift, totals)


class Sums(NamedTuple):
    """The quantities that describe a vector of rows: λ, Σpq, how rows are divided among the ways, nodes, terms, ΣAB."""

    start: Any
    shift: Any
    mean: Any
    few: Any
    size: int
    terms: int
    whole: Any
    total: Any


@inner
def solve_rows(row, start, shift, totals, work, tangents, like):
    """Everything that the answers about a vector of rows are computed from."""
    (spread, ahead, gap, mean), zero, one, size, count = totals, full(like, 0), full(like, 1), 0, 0
    few = (ahead == zero) & (spread < full(like, BELOW))
    whole, found = one, one
    if any_lane(few):
        whole = exchange(row, start, shift, mean, few, work.part, work.series, like)
    if any_lane(where(few, zero, one) > zero):
        reach = where(gap < zero, -gap, gap)
        size, period = place_nodes(spread, reach, work.nodes, like)
        count = enough_terms(spread, few, work.nodes)
        if count:
            sum_powers(row, start, shift, mean, count, tangents, work.part, work.sums, like)
            integrand_by_powers(work.nodes, size, work.sums, count, gap, tangents, like)
        else:
            integrand_by_factors(row, start, shift, ahead, work.nodes, size, work.part, like)
            if tangents:
                log_derivative(row, start, shift, mean, work.nodes, size, work.part, like)
        found = normalise(work.nodes, size, like) * full(like, 2) / period
    return Sums(start, shift, mean, few, size, count, whole, found)


@kernel
def solve(theta, k, same, n, count, begin, stop, shifts, log_z, mu, rest, scratch, end, rank, size, shared, layout):
    """On request λ as start and shift, the log-partition, and both marginals."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k = table_at(theta, n, zero), table_at(k, 0, int64(0))
    group, work = rows_at_once(zero), workspace(scratch, n, zero)
    team = team_of(rank, size, shared, work.board)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        row, _, a, b, totals = tilted_rows(theta, k, same, first, rows, n, work, team, zero)
        if shifts:
            put_lanes(a, work.level, table_at(shifts, count, zero), 0, first, rows)
            put_lanes(b, work.level, table_at(shifts, count, zero), 1, first, rows)
        if log_z | mu | rest:
            found = solve_rows(row, a, b, totals, work, False, zero)
            if log_z:
                x = log_partition(row, found, zero)
                put_lanes(x, work.level, table_at(log_z, count, zero), 0, first, rows)
            if found.terms:
                deviation_polynomials(work.nodes, found.size, found.terms, work.poly, zero)
            if mu:
                write_marginals(row, found, work, table_at(mu, n, zero), first, rows, True, zero)
            if rest:
                write_marginals(row, found, work, table_at(rest, n, zero), first, rows, False, zero)
    restore_mode(mode)


@kernel
def jacobian_product(theta, k, same, n, count, begin, stop, shifts, v, out, scratch, end, rank, size, shared, layout):
    """J · v; ``shifts`` is λ, or 0 if it is not known."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, v, out = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(v, n, zero), table_at(out, n, zero)
    group, work, known = rows_at_once(zero), workspace(scratch, n, zero), table_at(shifts, count, zero)
    team = team_of(rank, size, shared, work.board)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        source, at = brought(theta, first, rows, n, work.x, zero)
        along, place = brought(v, first, rows, n, work.v, zero)
        row = Row(source, at, along, place, n, team)
        target = counts_of(k, same, first, rows, n, work.level, zero)
        if shifts:
            a = lanes_of(known, 0, first, rows, work.level, zero)
            b = lanes_of(known, 1, first, rows, work.level, zero)
        else:
            a, b, _ = find_tilt(row, target, zero)
        totals = row_totals(row, a, b, target, zero)
        found = solve_rows(row, a, b, totals, work, True, zero)
        if found.size:
            put_change(work.nodes, found.size, zero)
            if found.terms:
                product_polynomials(work.nodes, found.size, found.terms, work.poly, zero)
        write_product(row, found, work, out, first, rows, zero)
    restore_mode(mode)
