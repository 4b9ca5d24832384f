"""The inverse of the marginals: logits by a fixed-point iteration, their derivative by conjugate gradients.

Both rest on one fact. The items of a k-subset are negatively correlated and each row of J sums to 0, so J is the
Laplacian of a graph whose weights are −Cov(z_i, z_j) and whose degrees are D = diag(μ(1 − μ)). The map
θ ↦ θ + logit(target) − logit(μ(θ)) has the derivative I − D⁻¹J, a stochastic matrix: measured by the range of their
difference it moves no two points apart, and averages of its iterates converge from everywhere. In every row tried the
eigenvalues of D⁻¹J are between 1 and 2, but for the 0 of the constant vector, so that few steps are enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ksubset._engine.arrays import fill, flat_rows
from ksubset._engine.inference import jacobian_product, moments
from ksubset._engine.ops import Array, Ops, State
from ksubset._engine.summation import compensated_sum

STEPS = 64
"""Evaluations of the marginals allowed."""

PRODUCTS = 48
"""Products J · v allowed to the conjugate gradients."""

FINE, ROUGH = 64, 4096
"""In rounding errors: a gap small enough to stop at once, and a gap small enough if it has stopped falling."""

ROUNDING = 32
"""Rounding errors of each marginal by which a row may miss its sum and still have only been rounded."""


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
    weight
        μ(1 − μ), relative to the largest of the row.
    scale
        Turns a difference of logits into the error that counts: relative where marginals have relative accuracy, and 0
        where they come close to the smallest floats.
    reach
        A bound on the change of a logit in one step.
    """

    chosen: Array
    unchosen: Array
    fixed: Array
    weight: Array
    scale: Array
    reach: float


def invert(ops: Ops, mu: Array, k: int | Array) -> Array:
    """θ with the marginals ``mu``, its finite entries summing to 0; NaN in a row that has not converged.

    Each step takes an average of the last two images of the map, Anderson's acceleration of depth 1, so chosen that
    the norm of the residual weighted by D would be least if the map were affine. Eigenvalues of D⁻¹J in [1, 2] ask for
    a weight of the older image in [0, 1/2]. Kept in there it cannot throw an iterate off.
    """
    xp, shape = ops.xp, tuple(mu.shape)
    mu = flat_rows(ops, mu)
    if not shape[-1]:
        return xp.reshape(mu, shape)
    k = k if isinstance(k, int) else xp.reshape(k, (-1,))
    size = k if isinstance(k, int) else xp.astype(k, mu.dtype)
    target, ends = _target(ops, mu, size), (mu == 0) | (mu == 1)
    logit = xp.log(mu) - xp.log(1 - mu)
    start = _centred(ops, xp.where(ends, xp.zeros_like(logit), logit), ends)
    unknown = xp.sum(xp.zeros_like(mu), axis=-1) + float("inf")
    state: State = (start, start, start, unknown, unknown, xp.isnan(unknown))
    theta, _, _, error, _, settled = ops.repeat(lambda s: _step(ops, target, k, s), state, STEPS)
    theta = xp.where(ends, logit, _centred(ops, theta, ends))
    found = settled & ~xp.isnan(error) & ~xp.any(xp.isnan(theta), axis=-1)
    return xp.reshape(xp.where(found[:, None], theta, fill(ops, (), float("nan"), theta)), shape)


def _target(ops: Ops, mu: Array, size: int | Array) -> Target:
    xp, double, spread = ops.xp, _eps(ops, mu) < 1e-10, mu * (1 - mu)
    weight = spread / _divisor(xp, xp.max(spread, axis=-1, keepdims=True))
    fixed, unchosen = _fixed(ops, mu, size), _unchosen(ops, mu, size)
    reach = 300.0 if double else 40.0
    normal = xp.astype(spread * _eps(ops, mu) >= xp.finfo(mu.dtype).smallest_normal, mu.dtype)
    return Target(mu, unchosen, fixed, weight, normal, reach)


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


def _step(ops: Ops, target: Target, k: int | Array, state: State) -> State:
    """One step of every row that has not settled, after a look at how far it still is from its target."""
    xp, eps = ops.xp, _eps(ops, state[0])
    theta, older_image, older_gap, last, before, settled = state
    gap = _gap(ops, target, k, theta)
    error = xp.max(xp.abs(gap) * target.scale, axis=-1)
    stalled = (error <= ROUGH * eps) & (error > before / 2)
    settled = settled | (error <= FINE * eps) | stalled | xp.isnan(error)
    change = gap - older_gap
    power = xp.sum(target.weight * change * change, axis=-1)
    share = xp.clip(xp.sum(target.weight * gap * change, axis=-1) / _divisor(xp, power), 0, 0.5)
    share = xp.where(xp.isinf(last), xp.zeros_like(share), share)
    image = theta + gap
    new = image - share[:, None] * (image - older_image)
    return xp.where(settled[:, None], theta, new), image, gap, error, last, settled


def _gap(ops: Ops, target: Target, k: int | Array, theta: Array) -> Array:
    """logit(target) − logit(μ(θ)) less its weighted mean, by which the target may miss the sum k; 0 at fixed items."""
    xp, infinity = ops.xp, fill(ops, (), float("inf"), theta)
    theta = xp.where(target.fixed, xp.where(target.chosen > 0.5, infinity, -infinity), theta)
    found = moments(ops, theta, k, partition=False)
    rise = xp.log(target.chosen / found.chosen)
    gap = xp.clip(rise - xp.log(target.unchosen / found.unchosen), -target.reach, target.reach)
    gap = xp.where(target.fixed, xp.zeros_like(gap), gap)
    mean = _dot(xp, target.weight, gap) / _divisor(xp, xp.sum(target.weight, axis=-1, keepdims=True))
    return xp.where(target.fixed, gap, gap - mean)


def solve_jacobian(ops: Ops, logits: Array, k: int | Array, v: Array) -> Array:
    """x with J · x = v − D·1 Σv/ΣD and Σ D x = 0, D = diag(μ(1 − μ)); 0 at items with infinite logits.

    Where v sums to 0, as a change of marginals does, this is J⁺ · v up to a constant: it is symmetric in the same way,
    but neither a rounding error of Σv nor the constant drowns what rare items should be given. Conjugate gradients
    solve D^−½ J D^−½ y = D^−½ v, x = D^−½ y.
    """
    xp, shape = ops.xp, tuple(logits.shape)
    found = moments(ops, logits, k, partition=False)
    root = xp.sqrt(found.chosen) * xp.sqrt(found.unchosen)
    fixed = xp.isinf(logits) | (root == 0)
    root = xp.where(fixed, xp.ones_like(root), root)

    def apply(y: Array) -> Array:
        return xp.where(fixed, xp.zeros_like(y), jacobian_product(ops, logits, k, y / root) / root)

    null = xp.where(fixed, xp.zeros_like(root), root)
    v = xp.where(fixed, xp.zeros_like(v), v / root)
    size = _divisor(xp, xp.max(xp.abs(v), axis=-1, keepdims=True))
    y = _conjugate_gradients(ops, apply, null, _without(ops, v / size, null))
    return xp.reshape(y / root * size, shape)


def _conjugate_gradients(ops: Ops, apply: Callable[[Array], Array], null: Array, b: Array) -> Array:
    """y with apply(y) = b, both orthogonal to ``null``, which ``apply`` maps to 0; NaN where the iteration fails.

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
        y, rest = y + length * direction, _without(ops, rest - length * image, null)
        new = _dot(xp, rest, rest)
        settled = settled | (new <= eps**2 * start) | xp.isnan(new)
        return y, rest, rest + new / _divisor(xp, power) * direction, new, settled

    y, _, _, power, _ = ops.repeat(step, state, PRODUCTS)
    y = _without(ops, y + (b - apply(y)), null)
    return xp.where(power <= (ROUGH * eps) ** 2 * start, y, fill(ops, (), float("nan"), y))


def _without(ops: Ops, x: Array, null: Array) -> Array:
    """The part of ``x`` orthogonal to ``null``."""
    return x - null * (_dot(ops.xp, null, x) / _divisor(ops.xp, _dot(ops.xp, null, null)))


def _dot(xp: Any, x: Array, y: Array) -> Array:
    return xp.sum(x * y, axis=-1, keepdims=True)


def _divisor(xp: Any, x: Array) -> Array:
    """``x`` with 1 in the place of 0."""
    return xp.where(x == 0, xp.ones_like(x), x)


def _centred(ops: Ops, x: Array, fixed: Array) -> Array:
    """``x``, which is 0 at fixed items, less its mean over the others."""
    xp = ops.xp
    free = xp.astype(~fixed, x.dtype)
    mean = compensated_sum(ops, x * free) / xp.clip(xp.sum(free, axis=-1), 1, None)
    return (x - mean[..., None]) * free


def _eps(ops: Ops, x: Array) -> float:
    return float(ops.xp.finfo(x.dtype).eps)
