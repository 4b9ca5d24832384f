"""The contour: probabilities, marginals and J · v from the characteristic function of the count at a few nodes.

With c_j = F(φ_j) e^−ikφ_j, the probability of the count is P = (2/N) Σ Re c_j, and leaving item i out divides c_j by
f_ij. The two probabilities that this gives, P(S₋ᵢ = k − 1) and P(S₋ᵢ = k), differ by P · Δ_i, and p_i times the one
plus q_i times the other is P, so that

    μ_i = p_i (1 + q_i Δ_i),   1 − μ_i = q_i (1 − p_i Δ_i),   Δ_i = Σ Re(c_j u_j/f_ij) / Σ Re c_j,   u = e^iφ − 1.

Δ is a small correction, of the order of 1/√V: errors of the c_j hardly matter, and the tilt's own probabilities bring
their relative accuracy along. The derivative along v is the product rule,

    J · v = pq ((v − v̄)(1 + (q − p) Δ) + dΔ),   dc_j = c_j (T_j − τ),   T_j = Σ_l p_l q_l (v_l − v̄) u_j/f_lj,

τ the c-weighted mean of T. Where the variance is small, 1 + q_i Δ_i or 1 − p_i Δ_i is small too, and the absolute error
of Δ spoils it: ``ksubset._engine.exchange`` computes such rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ksubset._engine import power_sums
from ksubset._engine.arrays import scaled
from ksubset._engine.direct import Direct
from ksubset._engine.items import Items, Totals
from ksubset._engine.nodes import place
from ksubset._engine.ops import Array, Ops, choose
from ksubset._engine.power_sums import PowerSums

Form = Direct | PowerSums


@dataclass(frozen=True)
class Curve:
    """The integrand of a batch of rows, F e^−ikφ or a weighted sum of such terms.

    Attributes
    ----------
    form
        How the items enter the integrand.
    weights
        The integrand at the nodes, divided by the sum of its real parts: (nodes, ...).
    total
        P(S = k), or a weighted sum of such probabilities: (...).
    """

    form: Form
    weights: Array
    total: Array

    def deviation(self) -> Array:
        """Δ, (n, ...)."""
        return self.form.deviation(self.weights)

    def product(self, push: Array, other: Array | None = None) -> Array:
        """J · v, ``push`` = pq (v − v̄), plus the effect of an ``other`` change of the weights: (n, ...)."""
        xp, x = self.form.ops.xp, self.form.x
        change = self.weights * self.form.log_derivative(push)
        if other is not None:
            change = change + other
        change = change - scaled(self.form.ops, self.weights, xp.sum(xp.real(change), axis=0))
        value, derivative = self.form.deviation_and_derivative(self.weights, change, push)
        return push * (1 + x.lean * value) + x.spread * derivative


def with_form(
    ops: Ops, x: Items, totals: Totals, k: int | Array, answer: Callable[[Form], tuple[Array, ...]]
) -> tuple[Array, ...]:
    """An answer from the items in the form that suits: power sums where the variance of every row allows them."""
    n, limits = x.t.shape[0], ops.xp.finfo(totals.variance.dtype)
    most = k * (1 - k / n) + 1 if isinstance(k, int) and n else n / 4  # Σp misses k by a quarter of a deviation
    nodes, least = place(ops, totals.variance, totals.reach, (most, totals.deviations)), power_sums.FROM[limits.bits]

    def direct() -> tuple[Array, ...]:
        return answer(Direct(ops, x, totals, nodes))

    if not ops.sweeps or most < least:
        return direct()
    large = ops.xp.all(totals.variance >= least)
    if ops.eager_on_cpu and large:
        least = float(ops.xp.min(totals.variance))
    terms = power_sums.terms(least, float(limits.eps))
    return choose(ops, large, lambda: answer(PowerSums(ops, x, totals, nodes, terms)), direct)


def curve(form: Form) -> Curve:
    """The integrand of P(S = k)."""
    return normalised(form, values(form))


def values(form: Form) -> Array:
    """F e^−ikφ at the nodes, (nodes, ...)."""
    return scaled(form.ops, form.characteristic() * form.nodes.turn(form.ops, form.offset), form.nodes.used)


def normalised(form: Form, x: Array) -> Curve:
    """A curve of these values."""
    total = form.ops.xp.sum(form.ops.xp.real(x), axis=0)
    return Curve(form, scaled(form.ops, x, 1 / total), 2 * total / form.nodes.period)
