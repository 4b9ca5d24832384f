"""Rows of small variance: subsets by how many items they exchange against the likeliest one.

Where Σpq is small, exactly k items are likely. A subset leaves out s of them and takes s others instead, and with the
odds w = e^−|t| of the less likely side, its weight beside the likeliest subset's is a product of 2s of them. So the
total is Σ_s A_s B_s, A_s and B_s the elementary symmetric functions of the odds of the unlikely and of the likely
items. Leaving out item i of the first kind,

    μ_i = w_i Σ_{s ≥ 1} A_{s−1}(without i) B_s / Σ A_s B_s,   A_s(without i) = Σ_j (−w_i)^j A_{s−j},

a polynomial in −w_i; likewise 1 − μ_i for the others. All terms are sums of products of small numbers and lose no
relative accuracy however small the variance is, where one contour, whose error is absolute, loses it by 1/V. The A_s
come from power sums by Newton's identities: their errors, of the order of A_1^s/s! roundings, vanish beside the
total as long as A_1 and B_1 are not much above 1.
"""

from dataclasses import dataclass
from typing import TypeAlias

from ksubset._engine.items import Items, Totals
from ksubset._engine.ops import Array, Ops, scan
from ksubset._engine.summation import item_sums

Series: TypeAlias = list[Array]

BELOW = 1.0
"""Rows of smaller variance are computed here, if exactly k of their items are likely."""

EXCHANGED = {32: 6, 64: 10}
"""By the bits of a float, how many items are exchanged at most: (A_1 B_1)^s / s!² is below rounding for s one more."""


def serves(ops: Ops, totals: Totals) -> Array:
    """Which rows are computed here, (...): all of variance below 0.4 and some up to `BELOW`."""
    return (totals.ahead == 0) & (totals.variance < BELOW)


@dataclass(frozen=True)
class Exchanges:
    """Rows of small variance; the ``odds`` of all others are 0."""

    ops: Ops
    x: Items
    odds: Array

    def moments(self) -> tuple[Array, Array]:
        """log Σ A_s B_s, (...), and the marginal of each item's less likely side, (n, ...)."""
        a, b = map(self._symmetric, self._sides(self.odds))
        more = _exchanged(a, b)
        unlikely = self._polynomial(_without_one(a, b), _without_one(b, a))
        return self.ops.xp.log1p(more), self.odds * unlikely / (1 + more)

    def product(self, push: Array) -> Array:
        """J · v, ``push`` = w (v − v̄): (n, ...)."""
        xp, (odds, other), (rise, fall) = self.ops.xp, self._sides(self.odds), self._sides(push)
        a, b = self._symmetric(odds), self._symmetric(other)
        da, db = self._change(a, odds, rise), self._change(b, other, -fall)
        total, change = 1 + _exchanged(a, b), _exchanged(da, b) + _exchanged(a, db)
        ours, theirs = _without_one(a, b), _without_one(b, a)
        weighted = [(j + 1) * x for j, x in enumerate(ours)], [(j + 1) * x for j, x in enumerate(theirs)]
        moved = (
            [
                x + y - change / total * z
                for x, y, z in zip(_without_one(da, b), _without_one(a, db), ours, strict=True)
            ],
            [
                x + y - change / total * z
                for x, y, z in zip(_without_one(db, a), _without_one(b, da), theirs, strict=True)
            ],
        )
        sign = xp.where(self.x.chosen, -self.odds, self.odds)
        return (push * self._polynomial(*weighted) + sign * self._polynomial(*moved)) / total

    def _sides(self, x: Array) -> tuple[Array, Array]:
        """``x`` of the unlikely items, and ``x`` of the likely items, each 0 for all others."""
        none = self.ops.xp.zeros_like(x)
        return self.ops.xp.where(self.x.chosen, none, x), self.ops.xp.where(self.x.chosen, x, none)

    def _symmetric(self, odds: Array) -> Series:
        """The elementary symmetric functions A_0 … A_S, by s A_s = Σ_j (−1)^(j−1) A_{s−j} Σ w^j."""
        sums = self._sums(odds, odds)
        out = [self.ops.xp.ones_like(sums[0])]
        for s in range(1, len(sums) + 1):
            out.append(_newton(out, sums, s) / s)
        return out

    def _change(self, a: Series, odds: Array, push: Array) -> Series:
        """The derivatives of A_0 … A_S, from the generating function: dA(x) = A(x) Σ dw x/(1 + wx)."""
        sums = self._sums(push, odds)
        return [self.ops.xp.zeros_like(a[0]), *(_newton(a, sums, s) for s in range(1, len(sums) + 1))]

    def _sums(self, x: Array, odds: Array) -> Series:
        """Σ x w^j for j = 0 … S − 1."""
        most = EXCHANGED[self.ops.xp.finfo(x.dtype).bits]
        _, (found,) = scan(self.ops, lambda x, _: (x * odds, (item_sums(self.ops, x),)), x, (), most)
        return [found[j, ...] for j in range(most)]

    def _polynomial(self, unlikely: Series, likely: Series) -> Array:
        """Horner's rule in −w, with coefficients of their own for the items of either side."""
        xp, out = self.ops.xp, self.ops.xp.zeros_like(self.odds)
        for own, other in zip(unlikely[::-1], likely[::-1], strict=True):
            out = xp.where(self.x.chosen, other, own) - self.odds * out
        return out


def _newton(a: Series, sums: Series, s: int) -> Array:
    """Σ_j (−1)^(j−1) A_{s−j} · sums_j for j = 1 … s."""
    return sum((-1) ** (j - 1) * a[s - j] * sums[j - 1] for j in range(1, s + 1))


def _exchanged(a: Series, b: Series) -> Array:
    """Σ_{s ≥ 1} A_s B_s."""
    return sum(x * y for x, y in zip(a[1:], b[1:], strict=True))


def _without_one(a: Series, b: Series) -> Series:
    """The coefficients of (−w)^j in Σ_{s ≥ 1} A_{s−1}(without an item of odds w) B_s."""
    size = len(a)
    return [sum(b[s] * a[s - 1 - j] for s in range(j + 1, size)) for j in range(size - 1)]
