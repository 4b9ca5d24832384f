"""Elementary functions with the derivatives that the contour and its answers agree on."""

from math import factorial, pi

from ksubset._engine.arrays import fill
from ksubset._engine.ops import Array, Ops


def _taylor(first: int, terms: int) -> tuple[float, ...]:
    """Coefficients of cos y or sin y / y in powers of y², the highest first."""
    return tuple((-1) ** j / factorial(2 * j + first) for j in range(terms - 1, -1, -1))


TERMS = {32: 6, 64: 9}
COSINE, SINE = ({bits: _taylor(first, terms) for bits, terms in TERMS.items()} for first in (0, 1))
"""Within an eighth of a turn of 0, to the last bit but one."""


def turn(ops: Ops, x: Array) -> tuple[Array, Array]:
    """cos 2πx and sin 2πx, where a compiler would call a function for every number by polynomials."""
    xp = ops.xp
    if ops.eager_on_cpu:
        angle = 8 * xp.atan(fill(ops, (), 1.0, x)) * x
        return xp.cos(angle), xp.sin(angle)
    bits = xp.finfo(x.dtype).bits
    x = x - xp.round(x)
    quarter = xp.round(4 * x)
    y = (x - 0.25 * quarter) * (2 * pi)
    c, s = _polynomial(COSINE[bits], y * y), _polynomial(SINE[bits], y * y) * y
    odd, back = xp.abs(quarter) == 1, xp.abs(quarter) == 2
    c, s = xp.where(back, -c, c), xp.where(back, -s, s)
    return xp.where(odd, -quarter * s, c), xp.where(odd, quarter * c, s)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    out = 0 * x + coefficients[0]
    for coefficient in coefficients[1:]:
        out = out * x + coefficient
    return out


def softplus(ops: Ops, x: Array) -> Array:
    return positive_part(ops, x) + ops.xp.log1p(ops.xp.exp(-magnitude(ops, x)))


def positive_part(ops: Ops, x: Array) -> Array:
    """max(x, 0) whose derivative at 0 is 0, as that of `magnitude` asks; a library's own may be 1/2 there."""
    return ops.xp.where(x <= 0, ops.xp.zeros_like(x), x)


def misplaced(ops: Ops, t: Array, top: Array) -> Array:
    """max(−t, 0) of the items in ``top``, max(t, 0) of the others, as of a t that is not above 0 where it is 0."""
    zero = ops.xp.zeros_like(t)
    return ops.xp.where(t > 0, ops.xp.where(top, zero, t), ops.xp.where(top, -t, zero))


def magnitude(ops: Ops, x: Array) -> Array:
    """|x| whose derivative at 0 agrees with a side chosen by x > 0."""
    return ops.xp.where(x > 0, x, -x)
