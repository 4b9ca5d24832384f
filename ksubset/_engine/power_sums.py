"""The contour by power sums: for rows of large variance, the nodes need only a few real sums over the items.

With x = 2(1 − cos φ) and c = pq, |f|² = 1 − cx and arg f − pφ = (q − p) · (a power series in cx and sin φ/2), so that

    log |F|      = −½ Σ_m (x^m / m) Σ_i c_i^m
    arg F − φ Σp = −sin(φ/2) Σ_m x^m / (2m + 1) Σ_{r ≤ m} β_{m−r} Σ_i (q_i − p_i) c_i^r,   β_r = binom(2r, r)/16^r,

and the sum over the nodes that an item needs, Σ Re(c (e^iφ − 1)/f_i), is a polynomial in its pq and q − p, whose
coefficients belong to the row. No loop over nodes touches an item. Since c ≤ 1/4, the m-th term is at most
(2V/m)(x/4)^m beside the weight e^−Vx/2 of its node: below (4V/m)(m/2eV)^m wherever the node is, which says how many
terms are enough.
"""

from dataclasses import dataclass
from math import comb, exp, log

from ksubset._engine.items import Items, Totals
from ksubset._engine.nodes import Nodes
from ksubset._engine.ops import Array, Ops, scan
from ksubset._engine.summation import item_sums

FROM = {32: 12.0, 64: 32.0}
"""By the bits of a float: the variance from which on power sums are taken."""

ROUNDINGS = 4
"""How many roundings the first term that is left out may reach."""


def terms(variance: float, eps: float) -> int:
    """How many powers of pq rows of at least this variance need."""
    m = 2
    while log(4 * variance / m) + m * log(m / (2 * exp(1) * variance)) > log(ROUNDINGS * eps):
        m += 1
    return m - 1


@dataclass(frozen=True)
class PowerSums:
    """Sums over the items ``x``, and polynomials in them, of ``terms`` terms; phases are counted from Σp."""

    ops: Ops
    x: Items
    totals: Totals
    nodes: Nodes
    terms: int

    @property
    def offset(self) -> Array:
        """The count from which phases are counted, less k: (...)."""
        return self.totals.gap

    def characteristic(self) -> Array:
        """F e^−icφ, c the count from which phases are counted: (nodes, ...)."""
        ops, xp, m = self.ops, self.ops.xp, range(1, self.terms + 1)
        sums, leaning = self._sums(self.x.spread, self.x.lean * self.x.spread)
        powers = self._powers()
        size = -_dot(ops, powers, [s / (2 * i) for i, s in zip(m, sums, strict=True)])
        spread = [
            sum(comb(2 * (i - r), i - r) / 16 ** (i - r) * leaning[r - 1] for r in range(1, i + 1)) / (2 * i + 1)
            for i in m
        ]
        return xp.exp(ops.join(size, -self.nodes.half_sine * _dot(ops, powers, spread)))

    def log_derivative(self, push: Array) -> Array:
        """d log F along p + ``push``, (nodes, ...)."""
        sums, leaning = self._sums(push, push * self.x.lean)
        powers = [self._one(), *self._powers()[:-1]]
        re, im = _dot(self.ops, powers, leaning), _dot(self.ops, powers, sums)
        return self.ops.join(self.nodes.fall * re, self.nodes.sine * im)

    def deviation(self, weights: Array) -> Array:
        """Σ Re(c u/f_i) over the nodes, u = e^iφ − 1 and c the ``weights``: (n, ...)."""
        xp, nodes = self.ops.xp, self.nodes
        re, im = self._moments(xp.real(weights) * nodes.fall), self._moments(xp.imag(weights) * nodes.sine)
        return self.x.lean * self._polynomial(re) - self._polynomial(im)

    def deviation_and_derivative(self, weights: Array, change: Array, push: Array) -> tuple[Array, Array]:
        """`deviation`, and its derivative along p + ``push`` with the ``change`` of the weights: (n, ...) both."""
        fall, sine, lean = self.nodes.fall, self.nodes.sine, self.x.lean
        re, im = self.ops.xp.real(weights), self.ops.xp.imag(weights)
        square, mixed, other = (
            [(m + 1) * y for m, y in enumerate(self._moments(x))]
            for x in (re * fall * fall, 2 * im * fall * sine, re * sine * sine)
        )
        own = lean * lean * self._polynomial(square) - lean * self._polynomial(mixed) - self._polynomial(other)
        return self.deviation(weights), self.deviation(change) - push * own

    def _sums(self, *first: Array) -> list[list[Array]]:
        """Σ_i x_i c_i^m for m = 0 … terms − 1 and each of some x."""

        def step(power: tuple[Array, ...], _: object) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
            return tuple(x * self.x.spread for x in power), tuple(item_sums(self.ops, x) for x in power)

        sums = scan(self.ops, step, first, (), self.terms)[1]
        return [[x[m, ...] for m in range(self.terms)] for x in sums]

    def _powers(self) -> list[Array]:
        """x^m for m = 1 … terms, (nodes, ...)."""
        base = -2 * self.nodes.fall
        out = [base]
        for _ in range(self.terms - 1):
            out.append(out[-1] * base)
        return out

    def _one(self) -> Array:
        return self.ops.xp.ones_like(self.nodes.fall)

    def _moments(self, x: Array) -> list[Array]:
        """Σ x · (2(1 − cos φ))^m over the nodes for m = 0 … terms − 1, (...)."""
        xp = self.ops.xp
        return [xp.sum(x * power, axis=0) for power in (self._one(), *self._powers()[:-1])]

    def _polynomial(self, coefficients: list[Array]) -> Array:
        """Horner's rule in pq."""
        out = coefficients[-1]
        for coefficient in coefficients[-2::-1]:
            out = out * self.x.spread + coefficient
        return out


def _dot(ops: Ops, powers: list[Array], coefficients: list[Array]) -> Array:
    """Σ_m powers[m] · coefficients[m], (nodes, ...)."""
    total = powers[0] * coefficients[0]
    for power, coefficient in zip(powers[1:], coefficients[1:], strict=True):
        total = total + power * coefficient
    return total
