"""Rows of large variance on Lanes: the integrand by power sums, answers by polynomials. See `_engine.power_sums`."""

from math import comb

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.nodes import ANGLE, DIM, DRE, FALL, HALF, IM, MOST, RE, SINE, add, put_integrand
from ksubset.backends._cpu.kernels.power_sum_terms import TERMS
from ksubset.backends._cpu.kernels.team import (
    add_to_posts,
    board_of,
    chunk,
    clear_posts,
    meet,
    posted_sum,
    section,
    sections,
)
from ksubset.backends._cpu.kernels.variables import pushed, variable
from ksubset.backends._cpu.simd.elementary import exp, total
from ksubset.backends._cpu.simd.memory import load, load_items, step, store
from ksubset.backends._cpu.simd.vectors import full, where

BETA = np.array([comb(2 * r, r) / 16.0**r for r in range(TERMS + 1)])


@inlined
def add_powers(sums, base, terms, x, spread, lean):
    """Add x c^m to sum base + m, and the same times q − p to sum base + terms + m."""
    for m in range(terms):
        add(sums, base + m, x)
        add(sums, base + terms + m, x * lean)
        x = x * spread


@inner
def sum_powers(row, start, shift, mean, terms, tangents, part, sums, like):
    """Σ c^m and Σ (q − p) c^m from m = 1 on, and if ``tangents`` also with pq (v − mean), from m = 0 on."""
    used, board = (4 if tangents else 2) * terms, board_of(row, like)
    s = row.team.rank
    while s < sections(row):
        clear_posts(board, s, 0, used, like)
        first, stop = section(row, s, like)
        for i in range(first, stop, chunk(like)):
            sum_some_powers(row, i, min(i + chunk(like), stop), start, shift, mean, terms, tangents, part, like)
            add_to_posts(board, s, part, 0, used, like)
        s += row.team.size
    meet(row.team)
    for j in range(used):
        store(sums, j, total(posted_sum(board, row, j, like)))


@inlined
def sum_some_powers(row, first, stop, start, shift, mean, terms, tangents, part, like):
    """The same of some items."""
    for j in range((4 if tangents else 2) * terms):
        store(part, j, full(like, 0))
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        _, _, _, c, lean = variable(y, start, shift)
        add_powers(part, 0, terms, c, c, lean)
        if tangents:
            u = pushed(load_items(row.v, row.v_at, i, stop, full(like, 0)), c, mean)
            add_powers(part, 2 * terms, terms, u, c, lean)


@inner
def integrand_by_powers(nodes, size, sums, terms, gap, tangents, like):
    """F e^−ikφ at the nodes, and if ``tangents`` the derivative of log F."""
    zero = full(like, 0)
    for m in range(terms - 1, -1, -1):  # in place of Σ (q − p) c^r, the sums over r that arg F has
        x = zero
        for r in range(m + 1):
            x = x + full(like, BETA[m - r]) * load(sums, terms + r, like)
        store(sums, terms + m, x * full(like, 1 / (2 * m + 3)))
    for j in range(size):
        x = full(like, -2) * load(nodes, FALL * MOST + j, like)
        real, phase, a, b = zero, zero, zero, zero
        for m in range(terms - 1, -1, -1):
            real = (real + load(sums, m, like) * full(like, 0.5 / (m + 1))) * x
            phase = (phase + load(sums, terms + m, like)) * x
            if tangents:
                a, b = a * x + load(sums, 3 * terms + m, like), b * x + load(sums, 2 * terms + m, like)
        angle = gap * load(nodes, ANGLE * MOST + j, like)
        angle = angle - load(nodes, HALF * MOST + j, like) * phase * full(like, 0.15915494309189535)
        put_integrand(nodes, j, exp(-real), angle, full(like, 1), zero)
        if tangents:
            store(nodes, DRE * MOST + j, a * load(nodes, FALL * MOST + j, like))
            store(nodes, DIM * MOST + j, b * load(nodes, SINE * MOST + j, like))


@inlined
def add_moments(out, base, terms, weight, x):
    """Add weight · x^m to number base + m."""
    for m in range(terms):
        add(out, base + m, weight)
        weight = weight * x


@inner
def deviation_polynomials(nodes, size, terms, out, like):
    """Δ = (q − p) · the first polynomial in c − the second."""
    for j in range(2 * terms):
        store(out, j, full(like, 0))
    for j in range(size):
        fall, sine = load(nodes, FALL * MOST + j, like), load(nodes, SINE * MOST + j, like)
        x = full(like, -2) * fall
        add_moments(out, 0, terms, load(nodes, RE * MOST + j, like) * fall, x)
        add_moments(out, terms, terms, load(nodes, IM * MOST + j, like) * sine, x)


@inner
def product_polynomials(nodes, size, terms, out, like):
    """J · v = c ((v − v̄)(A + (q − p) B) + (q − p) E − G), polynomials in c of terms + 2 coefficients each.

    The item's own share of dΔ, a sum over the squares of u/f, is part of A and B; (q − p)² = 1 − 4c.
    """
    span, one, two, four = terms + 2, full(like, 1), full(like, 2), full(like, 4)
    for j in range(4 * span):
        store(out, j, full(like, 0))
    store(out, 0, one)
    for j in range(size):
        fall, sine = load(nodes, FALL * MOST + j, like), load(nodes, SINE * MOST + j, like)
        re, im = load(nodes, RE * MOST + j, like), load(nodes, IM * MOST + j, like)
        x = full(like, -2) * fall
        a, b = re * fall, im * sine
        own, mixed, other = a * fall, two * im * fall * sine, re * sine * sine
        for m in range(terms):
            times = full(like, m + 1)
            add(out, m, a)
            add(out, m + 1, times * (other - own) - four * a)
            add(out, m + 2, times * four * own)
            add(out, span + m, -b)
            add(out, span + m + 1, times * mixed)
            a, b, own, mixed, other = a * x, b * x, own * x, mixed * x, other * x
        add_moments(out, 2 * span, terms, load(nodes, DRE * MOST + j, like) * fall, x)
        add_moments(out, 3 * span, terms, load(nodes, DIM * MOST + j, like) * sine, x)


@inlined
def polynomial(out, base, terms, c):
    """Horner's rule."""
    x = load(out, base + terms - 1, c)
    for m in range(terms - 2, -1, -1):
        x = x * c + load(out, base + m, c)
    return x


@inlined
def sides(chosen, unlikely, spread, change):
    """μ and 1 − μ from Δ."""
    one = full(unlikely, 1)
    likely = one - unlikely
    p, q = where(chosen, likely, unlikely), where(chosen, unlikely, likely)
    mu, rest = p * (one + q * change), q * (one - p * change)
    return where(mu > one, one, mu), where(rest > one, one, rest)
