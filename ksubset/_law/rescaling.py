"""Marginals that sum to k, from numbers that do not: all odds of a row are multiplied by one factor."""

from ksubset._engine.arrays import fill
from ksubset._engine.ops import Array, Ops, State

HALVINGS = 64
"""Halvings of an interval between logarithms of floats, after which it is below rounding."""


def rescaled(ops: Ops, mu: Array, k: int | Array) -> Array:
    """cμ/(1 − μ + cμ), summing to k; NaN in a row that no factor c serves.

    The derivative of log c is that of a Newton step. It lacks the second, to which the logits, whose common shift is
    arbitrary, do not respond.
    """
    xp, one = ops.xp, fill(ops, (), 1.0, mu)
    always, free = mu == 1, (mu > 0) & (mu < 1)
    size = k if isinstance(k, int) else xp.astype(k, mu.dtype)[..., None]
    count, items = (xp.sum(xp.astype(x, mu.dtype), axis=-1, keepdims=True) for x in (always, free))
    count = size - count
    some = (count > 0) & (count < items)
    level = xp.log(xp.where(some, count, one)) - xp.log(xp.where(some, items - count, one))
    shift = _shift(ops, xp.where(free, mu, one / 2), free, count, level)
    chosen, left = _parts(ops, mu, shift)
    total, spread = (xp.sum(x, axis=-1, keepdims=True) for x in (chosen, chosen * left))
    shift = shift - (total - ops.stop_gradient(total)) / xp.where(spread > 0, spread, one)
    sound = some | ((count == 0) & (items == 0))
    return xp.where(sound, _parts(ops, mu, shift)[0], fill(ops, (), float("nan"), mu))


def _shift(ops: Ops, mu: Array, free: Array, count: Array, level: Array) -> Array:
    """log c, by bisection: between logit(count/items) less the largest and less the smallest logit. No derivative."""
    xp, mu, zero = ops.xp, ops.stop_gradient(mu), fill(ops, (), 0.0, mu)
    logit = xp.log(mu) - xp.log(1 - mu)
    low, high = (level - extreme(logit, axis=-1, keepdims=True) for extreme in (xp.max, xp.min))

    def halve(state: State) -> State:
        low, high, _ = state
        middle = low / 2 + high / 2
        total = xp.sum(xp.where(free, _parts(ops, mu, middle)[0], zero), axis=-1, keepdims=True)
        short, settled = total < count, (low >= middle) | (middle >= high)
        return xp.where(short, middle, low), xp.where(short, high, middle), settled

    low, high, _ = ops.repeat(halve, (low, high, low > high), HALVINGS)
    return low / 2 + high / 2


def _parts(ops: Ops, mu: Array, shift: Array) -> tuple[Array, Array]:
    """σ(logit μ + shift), and 1 minus it, neither of which overflows."""
    xp, zero = ops.xp, fill(ops, (), 0.0, shift)
    chosen, left = mu * xp.exp(xp.minimum(shift, zero)), (1 - mu) * xp.exp(-xp.maximum(shift, zero))
    total = chosen + left
    return chosen / total, left / total
