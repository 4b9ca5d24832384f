"""The inverse of the marginals: logits by a fixed-point iteration, their derivative by conjugate gradients.

Both rest on one fact. The items of a k-subset are negatively correlated and each row of J sums to 0, so J is the
Laplacian of a graph whose weights are −Cov(z_i, z_j) and whose degrees are D = diag(μ(1 − μ)). No degree is more than
half of their sum V, since other items make up for each. The map

    θ ↦ θ + (1 − D/V) (logit(target) − logit(μ(θ)))

has the derivative I − (1 − D/V) D⁻¹J, a stochastic matrix: measured by the range of their difference it moves no two
points apart. J is close to C − C·1·1ᵀC/ΣC, C = D/(1 − D/V), so that the derivative is small in almost all directions:
in every row tried the eigenvalues of C⁻¹J are between 3/4 and 2, but for the 0 of the constant vector, and where V is
large all but one are within 1/V² of 1. Few steps are enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ksubset._engine.arrays import fill, flat_rows
from ksubset._engine.ops import Array, Ops, State
from ksubset._engine.summation import compensated_sum
from ksubset._law.fixed_size import FixedSize

STEPS = 64
"""Evaluations of the marginals allowed."""

PRODUCTS = 48
"""Products J · v allowed to the conjugate gradients."""

FINE, ROUGH = 64, 4096
"""In rounding errors: a gap small enough to stop at once, and a gap small enough if it has stopped falling."""

ROUNDING = 32
"""Rounding errors of each marginal by which a row may miss its sum and still have only been rounded."""

REACH = 40.0
"""A bound on the change of a logit in one step."""


@dataclass(frozen=True)
class Target:
    """The marginals wanted, (rows, n).

    Attributes
    ----------
    chosen, unchosen
        μ and 1 − μ.
    fixed
        Items that are never or always chosen: where the target is 0 or 1, and where such items leave the others no
        choice, because rounding made them so.
    variance
        V = Σμ(1 − μ), (rows, 1); 1 in the place of 0.
    weight
        D/V, the shares of μ(1 − μ) in it.
    scale
        Turns a difference of logits into the error that counts: relative where marginals have relative accuracy, and 0
        where they come close to the smallest floats.
    """

    chosen: Array
    unchosen: Array
    fixed: Array
    variance: Array
    weight: Array
    scale: Array


def invert(ops: Ops, law: FixedSize, mu: Array) -> Array:
    """θ with the marginals ``mu``, its finite entries summing to 0; NaN in a row that has not converged.

    Where V is large, logit(μ) = θ + μ/V up to a constant and to terms of 1/V². Where it is small, the items that are
    exchanged for each other leave log(2/V) between the likely and the unlikely ones. asinh(1/V) is close to both.
    """
    xp, shape = ops.xp, tuple(mu.shape)
    mu = flat_rows(ops, mu)
    if not shape[-1]:
        return xp.reshape(mu, shape)
    law = law if law.counts is None else law.sized(xp.reshape(law.counts, (-1,)))
    target, ends = _target(ops, mu, law.k), (mu == 0) | (mu == 1)
    logit, infinity = xp.log(mu) - xp.log(1 - mu), fill(ops, (), float("inf"), mu)
    start = _centred(ops, logit - mu * xp.asinh(1 / target.variance), ends)
    start = xp.where(target.fixed, xp.where(mu > 0.5, infinity, -infinity), start)
    still, unknown = xp.zeros_like(mu), xp.sum(xp.zeros_like(mu), axis=-1) + infinity
    state: State = (start, still, still, unknown, unknown, xp.isnan(unknown))
    theta, _, _, error, _, settled = ops.repeat(lambda s: _step(ops, law, target, s), state, STEPS)
    theta = xp.where(ends, logit, _centred(ops, xp.where(target.fixed, logit, theta), ends))
    found = settled & ~xp.isnan(error) & ~xp.any(xp.isnan(theta), axis=-1)
    return xp.reshape(xp.where(found[:, None], theta, fill(ops, (), float("nan"), theta)), shape)


def _target(ops: Ops, mu: Array, k: int | Array) -> Target:
    xp, eps, spread = ops.xp, _eps(ops, mu), mu * (1 - mu)
    size = k if isinstance(k, int) else xp.astype(k, mu.dtype)
    variance = _divisor(xp, xp.sum(spread, axis=-1, keepdims=True))
    normal = xp.astype(spread * eps >= xp.finfo(mu.dtype).smallest_normal, mu.dtype)
    return Target(mu, _unchosen(ops, mu, size), _fixed(ops, mu, size), variance, spread / variance, normal)


def _fixed(ops: Ops, mu: Array, size: int | Array) -> Array:
    xp = ops.xp
    chosen = xp.sum(xp.astype(mu == 1, mu.dtype), axis=-1)
    possible = xp.sum(xp.astype(mu != 0, mu.dtype), axis=-1)
    return (mu == 0) | (mu == 1) | ((chosen == size) | (possible == size))[:, None]


def _unchosen(ops: Ops, mu: Array, size: int | Array) -> Array:
    """1 − μ, to which a μ near 1 gives few digits: all of them again where μ must sum to k.

    The amount missing from the sum was lost when the likely items were rounded, and is given back to them; if it is
    more than rounding can lose, all items make up for it.
    """
    xp, rest, likely = ops.xp, 1 - mu, mu > 0.5
    count = xp.astype(likely, mu.dtype)
    surplus = compensated_sum(ops, xp.where(likely, -rest, mu)) + (xp.sum(count, axis=-1) - size)
    rounded = xp.abs(surplus) <= ROUNDING * mu.shape[-1] * _eps(ops, mu)
    lost = xp.where(rounded, -surplus / xp.clip(xp.sum(count, axis=-1), 1, None), xp.zeros_like(surplus))
    return xp.where(likely, xp.maximum(xp.minimum(rest - lost[:, None], 2 * rest), rest / 2), rest)


def _step(ops: Ops, law: FixedSize, target: Target, state: State) -> State:
    """One step of every row that has not settled, after a look at how far it still is from its target.

    It goes to an average of the last two images of the map, Anderson's acceleration of depth 1, so chosen that the
    norm of the residual weighted by D would be least if the map were affine. Eigenvalues in [3/4, 2] ask for a weight
    of the older image in [−1/3, 1/2]. Kept in there it cannot throw an iterate far off.
    """
    xp, eps = ops.xp, _eps(ops, state[0])
    theta, move, older, last, before, settled = state
    gap = _gap(ops, law, target, theta)
    error = xp.max(xp.abs(gap) * target.scale, axis=-1)
    stalled = (error <= ROUGH * eps) & (error > before / 2)
    settled = settled | (error <= FINE * eps) | stalled | xp.isnan(error)
    pull = gap - target.weight * gap
    change = pull - older
    weighted = target.weight * change
    share = xp.sum(weighted * pull, axis=-1) / _divisor(xp, xp.sum(weighted * change, axis=-1))
    share = xp.where(xp.isinf(last), xp.zeros_like(share), xp.clip(share, -1 / 3, 0.5))
    move = pull - share[:, None] * (move + change)
    return xp.where(settled[:, None], theta, theta + move), move, pull, error, last, settled


def _gap(ops: Ops, law: FixedSize, target: Target, theta: Array) -> Array:
    """logit(target) − logit(μ(θ)) less its weighted mean, by which the target may miss the sum k; 0 at fixed items."""
    xp, found = ops.xp, law.moments(ops, theta, partition=False)
    gap = xp.log(target.chosen / found.chosen * (found.unchosen / target.unchosen))
    nothing = xp.zeros_like(gap)
    gap = xp.where(target.fixed, nothing, xp.clip(gap, -REACH, REACH))
    return xp.where(target.fixed, nothing, gap - _dot(xp, target.weight, gap))


def solve_jacobian(ops: Ops, law: FixedSize, logits: Array, v: Array) -> Array:
    """x with J · x = v − D·1 Σv/ΣD and Σ D x = 0, D = diag(μ(1 − μ)); 0 at items with infinite logits.

    Where v sums to 0, as a change of marginals does, this is J⁺ · v up to a constant: it is symmetric in the same way,
    but neither a rounding error of Σv nor the constant drowns what rare items should be given. Conjugate gradients
    solve C^−½ J C^−½ y = C^−½ v, x = C^−½ y.
    """
    xp, found = ops.xp, law.moments(ops, logits, partition=False)
    root = xp.sqrt(found.chosen) * xp.sqrt(found.unchosen)
    fixed = xp.isinf(logits) | (root == 0)
    nothing = xp.zeros_like(root)
    null = _unit(xp, xp.where(fixed, nothing, root))
    ease = xp.sqrt(xp.clip(1 - null * null, 0.5, None))
    root = xp.where(fixed, xp.ones_like(root), root / ease)

    def apply(y: Array) -> Array:
        return xp.where(fixed, nothing, law.product(ops, logits, y / root) / root)

    v = xp.where(fixed, nothing, v / root / ease)
    size = _divisor(xp, xp.max(xp.abs(v), axis=-1, keepdims=True))
    y = _conjugate_gradients(ops, apply, _unit(xp, null / ease), _without(xp, v / size, null) * ease)
    return _without(xp, y * ease, null) / (root * ease) * size


def _conjugate_gradients(ops: Ops, apply: Callable[[Array], Array], null: Array, b: Array) -> Array:
    """y with apply(y) = b, b orthogonal to ``null``, which ``apply`` maps to 0; NaN where the iteration fails.

    A step of Jacobi's iteration at the end, whose matrix is the stochastic one, gives the entries of rare items, which
    are small in the norm of the residual, the relative accuracy of the others.
    """
    xp, eps = ops.xp, _eps(ops, b)
    start = _dot(xp, b, b)
    state: State = (xp.zeros_like(b), b, b, start, start == 0)

    def step(state: State) -> State:
        y, rest, direction, power, settled = state
        image = apply(direction)
        length = xp.where(settled, xp.zeros_like(power), power / _divisor(xp, _dot(xp, direction, image)))
        y, rest = y + length * direction, _without(xp, rest - length * image, null)
        new = _dot(xp, rest, rest)
        settled = settled | (new <= eps**2 * start) | xp.isnan(new)
        return y, rest, rest + new / _divisor(xp, power) * direction, new, settled

    y, _, _, power, _ = ops.repeat(step, state, PRODUCTS)
    y = y + (b - apply(y))
    return xp.where(power <= (ROUGH * eps) ** 2 * start, y, fill(ops, (), float("nan"), y))


def _without(xp: Any, x: Array, null: Array) -> Array:
    """The part of ``x`` orthogonal to ``null``, of length 1 or 0."""
    return x - null * _dot(xp, null, x)


def _unit(xp: Any, x: Array) -> Array:
    """Rows of length 1 in the direction of ``x``, or of 0."""
    return x / xp.sqrt(_divisor(xp, _dot(xp, x, x)))


def _dot(xp: Any, x: Array, y: Array) -> Array:
    return xp.sum(x * y, axis=-1, keepdims=True)


def _divisor(xp: Any, x: Array) -> Array:
    """``x`` with 1 in the place of 0."""
    return xp.where(x == 0, xp.ones_like(x), x)


def _centred(ops: Ops, x: Array, fixed: Array) -> Array:
    """``x`` less its mean over the items that are not fixed; 0 at the others."""
    xp, nothing = ops.xp, ops.xp.zeros_like(x)
    count = xp.sum(xp.astype(~fixed, x.dtype), axis=-1)
    mean = compensated_sum(ops, xp.where(fixed, nothing, x)) / xp.clip(count, 1, None)
    return xp.where(fixed, nothing, x - mean[..., None])


def _eps(ops: Ops, x: Array) -> float:
    return float(ops.xp.finfo(x.dtype).eps)
