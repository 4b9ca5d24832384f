"""The nodes of the contour on Lanes: where they are, what is known there, sums over them. See ``ksubset._nodes``."""

from numba import float32

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import ceil, sqrt, turn
from ksubset.backends._cpu.memory import load_numbers, store_numbers
from ksubset.backends._cpu.vectors import any_lane, full, where, width

MOST = 40
"""No row has more nodes than this."""

FALL, SINE, FLOOR, HALF, ANGLE, USED, RE, IM, DRE, DIM, ZRE, ZIM, FRE, FIM = range(14)
"""What a table holds for each node.

cos φ − 1, sin φ, cos²(φ/2), sin(φ/2), φ/2π; 1, or 0 where a row has fewer nodes than others; the integrand and its
derivative, real and imaginary part; products of factors less 1 and as they are.
"""
KINDS = 14

LOG_ERROR_SINGLE, LOG_ERROR_DOUBLE = 18.0, 38.0
LEAST = 0.25


@inlined
def get(table, j, like):
    """Vector ``j`` of a table."""
    return load_numbers(table, j * width(like), like)


@inlined
def put(table, j, x):
    """Write vector ``j`` of a table."""
    store_numbers(table, j * width(x), x)


@inlined
def add(table, j, x):
    """Add to vector ``j`` of a table."""
    put(table, j, get(table, j, x) + x)


@inner
def place_nodes(variance, reach, nodes, like):
    """The nodes for counts within ``reach`` of Σp: how many, and N."""
    one, two, half, error = full(like, 1), full(like, 2), full(like, 0.5), full(like, LOG_ERROR_DOUBLE)
    if nodes.itemsize == 4:
        error = full(like, LOG_ERROR_SINGLE)
    v = where(variance > full(like, LEAST), variance, full(like, LEAST))
    period = two * ceil((sqrt(two * error * v) + error * full(like, 1 / 3) + reach) * half)
    step, size = half / period, 0  # half of the angle between nodes, in turns
    while size < MOST:
        middle = full(like, size + 0.5)
        _, sine = turn(middle * step)
        _, cosine = turn((period * half - middle) * step)
        used = (cosine > full(like, 0)) & (two * sine * sine * v <= error)
        if not any_lane(used):
            break
        put(nodes, FALL * MOST + size, -(two * sine * sine))
        put(nodes, SINE * MOST + size, two * sine * cosine)
        put(nodes, FLOOR * MOST + size, cosine * cosine)
        put(nodes, HALF * MOST + size, sine)
        put(nodes, ANGLE * MOST + size, two * middle * step)
        put(nodes, USED * MOST + size, where(used, one, full(like, 0)))
        size += 1
    return size, period


@inner
def normalise(nodes, size, like):
    """Divide the integrand by the sum of its real parts, which is returned."""
    whole = full(like, 0)
    for j in range(size):
        whole = whole + get(nodes, RE * MOST + j, like)
    inverse = full(like, 1) / whole
    for j in range(size):
        put(nodes, RE * MOST + j, get(nodes, RE * MOST + j, like) * inverse)
        put(nodes, IM * MOST + j, get(nodes, IM * MOST + j, like) * inverse)
    return whole


@inner
def put_integrand(nodes, j, size, angle, re, im):
    """size · (re + i im) e^i·2π·angle as the integrand at node ``j``."""
    cosine, sine = turn(angle)
    used = get(nodes, USED * MOST + j, size) * size
    put(nodes, RE * MOST + j, used * (re * cosine - im * sine))
    put(nodes, IM * MOST + j, used * (re * sine + im * cosine))


@inner
def put_change(nodes, size, like):
    """The change of the integrand, from that of its logarithm in its place: weights (T − mean of T)."""
    mean = full(like, 0)
    for j in range(size):
        re, im = get(nodes, RE * MOST + j, like), get(nodes, IM * MOST + j, like)
        a, b = get(nodes, DRE * MOST + j, like), get(nodes, DIM * MOST + j, like)
        dre, dim = re * a - im * b, re * b + im * a
        mean = mean + dre
        put(nodes, DRE * MOST + j, dre)
        put(nodes, DIM * MOST + j, dim)
    for j in range(size):
        put(nodes, DRE * MOST + j, get(nodes, DRE * MOST + j, like) - mean * get(nodes, RE * MOST + j, like))
        put(nodes, DIM * MOST + j, get(nodes, DIM * MOST + j, like) - mean * get(nodes, IM * MOST + j, like))
