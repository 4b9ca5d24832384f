"""exp, log and the like on Lanes; sums and extremes across lanes."""

from typing import Any

from llvmlite import ir
from numba import float32
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ksubset._engine.elementary import COSINE, SINE
from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.simd.lanes import I32, ITEMS, WIDTH, Dual, constant, integers, make_dual, split_dual, vector
from ksubset.backends._cpu.simd.vectors import full, where

MANTISSA = {32: 23, 64: 52}
BIAS = {32: 127, 64: 1023}


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    """Call an LLVM intrinsic named after its first argument."""
    kind = args[-1].type
    suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
    function = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}"), args)


def _elementwise(name: str) -> Any:
    @intrinsic
    def function(typingctx: Any, x: Any) -> Any:
        return x(x), lambda context, builder, sig, args: _call(builder, name, args[0].type, args[0])

    return function


def _reduction(name: str) -> Any:
    @intrinsic
    def function(typingctx: Any, x: Any) -> Any:
        return x.dtype(x), lambda context, builder, sig, args: _call(builder, name, args[0].type.element, args[0])

    return function


ceil, floor, sqrt, rint = (_elementwise(name) for name in ("ceil", "floor", "sqrt", "rint"))
least, greatest = _reduction("vector.reduce.fmin"), _reduction("vector.reduce.fmax")


def _across(combine: Any) -> Any:
    """Combine the lanes that belong to one row; every lane holds the result."""

    def reduce(builder: Any, x: Any, kind: Any) -> Any:
        half = WIDTH[kind.dtype] if kind.across == ITEMS else 1
        while half > 1:
            half //= 2
            order = [i ^ half for i in range(x.type.count)]
            order = ir.Constant(ir.VectorType(I32, x.type.count), order)
            x = combine(builder, x, builder.shuffle_vector(x, x, order))
        return x

    @intrinsic
    def function(typingctx: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            if isinstance(x, Dual):
                parts = split_dual(context, builder, x, args[0])
                return make_dual(context, builder, x, *(reduce(builder, part, x) for part in parts))
            return reduce(builder, args[0], x)

        return x(x), codegen

    return function


total = _across(lambda builder, x, y: builder.fadd(x, y))
lowest = _across(lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), x, y))
highest = _across(lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y))


@intrinsic
def power_of_two(typingctx: Any, x: Any) -> Any:
    """2^x for whole x within the range of normal numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, bits = integers(x.dtype), x.dtype.bitwidth
        whole = builder.fptosi(args[0], vector(x.dtype, I32))
        whole = builder.sext(whole, kind) if bits == 64 else whole
        biased = builder.add(whole, constant(kind, BIAS[bits]))
        return builder.bitcast(builder.shl(biased, constant(kind, MANTISSA[bits])), args[0].type)

    return x(x), codegen


@intrinsic
def exponent(typingctx: Any, x: Any) -> Any:
    """The whole number e with 2^e <= x < 2^(e + 1), for normal x > 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, bits = integers(x.dtype), x.dtype.bitwidth
        e = builder.lshr(builder.bitcast(args[0], kind), constant(kind, MANTISSA[bits]))
        e = builder.sub(e, constant(kind, BIAS[bits]))
        return builder.sitofp(builder.trunc(e, vector(x.dtype, I32)) if bits == 64 else e, args[0].type)

    return x(x), codegen


@intrinsic
def fraction(typingctx: Any, x: Any) -> Any:
    """x · 2^−exponent(x)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, bits = integers(x.dtype), x.dtype.bitwidth
        low = builder.and_(builder.bitcast(args[0], kind), constant(kind, (1 << MANTISSA[bits]) - 1))
        return builder.bitcast(builder.or_(low, constant(kind, BIAS[bits] << MANTISSA[bits])), args[0].type)

    return x(x), codegen


@intrinsic
def between(typingctx: Any, x: Any, y: Any) -> Any:
    """The number halfway between ``x`` and ``y``, counted in floating-point numbers and rounded down."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, bits = integers(x.dtype), x.dtype.bitwidth
        one, magnitude = constant(kind, 1), constant(kind, (1 << (bits - 1)) - 1)

        def reordered(v: Any) -> Any:
            sign = builder.ashr(v, constant(kind, bits - 1))
            return builder.xor(v, builder.and_(sign, magnitude))

        a, b = (reordered(builder.bitcast(arg, kind)) for arg in args)
        middle = builder.add(builder.and_(a, b), builder.ashr(builder.xor(a, b), one))
        return builder.bitcast(reordered(middle), args[0].type)

    return x(x, x), codegen


@intrinsic
def reciprocal(typingctx: Any, x: Any) -> Any:
    """1/x for finite x; in float32 by an estimate and a Newton step, off by one unit in the last place at most."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fdiv(constant(args[0].type, 1.0), args[0], flags=("arcp", "contract"))

    return x(x), codegen


def exp(x):
    """e^x; 0 where that is not a normal number, and no more than e^87 (float32) or e^708 (float64)."""


@overload(exp)
def _exp(x):
    if x.dtype == float32:
        return lambda x: _exp_single(x)
    return lambda x: _exp_double(x)


@inlined
def _exp_single(x):
    """Cody and Waite's reduction and a polynomial of degree 6 (Cephes)."""
    x = where(x > full(x, 87), full(x, 87), x)
    tiny = x < full(x, -87)
    y = where(tiny, full(x, -87), x)
    e = floor(y * full(x, 1.44269504) + full(x, 0.5))
    r = y - e * full(x, 0.693359375) + e * full(x, 2.12194440e-4)
    s = full(x, 1.9875691500e-4) * r + full(x, 1.3981999507e-3)
    s = s * r + full(x, 8.3334519073e-3)
    s = s * r + full(x, 4.1665795894e-2)
    s = s * r + full(x, 1.6666665459e-1)
    s = s * r + full(x, 0.5)
    s = s * r * r + r + full(x, 1)
    return where(tiny, full(x, 0), s * power_of_two(e))


@inlined
def _exp_double(x):
    """The same with Taylor's polynomial of degree 13."""
    x = where(x > full(x, 708), full(x, 708), x)
    tiny = x < full(x, -708)
    y = where(tiny, full(x, -708), x)
    e = floor(y * full(x, 1.4426950408889634) + full(x, 0.5))
    r = y - e * full(x, 6.93145751953125e-1) - e * full(x, 1.42860682030941723212e-6)
    s = full(x, 1 / 6227020800) * r + full(x, 1 / 479001600)
    s = s * r + full(x, 1 / 39916800)
    s = s * r + full(x, 1 / 3628800)
    s = s * r + full(x, 1 / 362880)
    s = s * r + full(x, 1 / 40320)
    s = s * r + full(x, 1 / 5040)
    s = s * r + full(x, 1 / 720)
    s = s * r + full(x, 1 / 120)
    s = s * r + full(x, 1 / 24)
    s = s * r + full(x, 1 / 6)
    s = s * r + full(x, 0.5)
    s = s * r * r + r + full(x, 1)
    return where(tiny, full(x, 0), s * power_of_two(e))


@inner
def log(x):
    """The natural logarithm of a normal x > 0: x = 2^e m, log m = 2 artanh((m − 1)/(m + 1))."""
    one = full(x, 1)
    m, e = fraction(x), exponent(x)
    big = m > full(x, 1.4142135623730951)
    m, e = where(big, m * full(x, 0.5), m), where(big, e + one, e)
    s = (m - one) / (m + one)
    t = s * s
    y = full(x, 2 / 19) * t + full(x, 2 / 17)
    y = y * t + full(x, 2 / 15)
    y = y * t + full(x, 2 / 13)
    y = y * t + full(x, 2 / 11)
    y = y * t + full(x, 2 / 9)
    y = y * t + full(x, 2 / 7)
    y = y * t + full(x, 2 / 5)
    y = y * t + full(x, 2 / 3)
    high = e * full(x, 0.693359375)
    return where(x != x, x, high + (s + s + (y * t * s - e * full(x, 2.1219444005469058277e-4))))


def turn(x):
    """cos 2πx and sin 2πx."""


SINGLE, DOUBLE = ((COSINE[bits], SINE[bits]) for bits in (32, 64))


@overload(turn)
def _turn(x):
    if x.dtype == float32:
        return lambda x: _turned(x, *SINGLE)
    return lambda x: _turned(x, *DOUBLE)


@inner
def _turned(x, cosine, sine):
    """By Taylor's polynomials on an eighth of a turn to either side of the nearest quarter."""
    one, half = full(x, 1), full(x, 0.5)
    r = x - rint(x)
    quarter = rint(full(x, 4) * r)
    y = (r - full(x, 0.25) * quarter) * full(x, 6.283185307179586)
    square, c, s = y * y, full(x, 0), full(x, 0)
    for a in cosine:
        c = c * square + full(x, a)
    for a in sine:
        s = s * square + full(x, a)
    s = s * y
    size = where(quarter < full(x, 0), -quarter, quarter)
    odd, back = (size > half) & (size < one + half), size > one + half
    c, s = where(back, -c, c), where(back, -s, s)
    sign = where(quarter < full(x, 0), -one, one)
    return where(odd, -(sign * s), c), where(odd, sign * c, s)
