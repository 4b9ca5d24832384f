"""The nodes of the contour on Lanes: their positions, the values there, sums over them. See `_engine.nodes`."""

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.simd.elementary import ceil, sqrt, turn
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.vectors import any_lane, full, where

MOST = 40
"""No row has more nodes than this."""

FALL, SINE, FLOOR, HALF, ANGLE, USED, RE, IM, DRE, DIM, ZRE, ZIM, FRE, FIM = range(14)
"""The entries of a table for each node.

cos φ − 1, sin φ, cos²(φ/2), sin(φ/2), φ/2π; 1, or 0 where a row has fewer nodes than others; the integrand and its
derivative, real and imaginary part; products of factors less 1 and as they are.
"""
KINDS = 14

LOG_ERROR_SINGLE, LOG_ERROR_DOUBLE = 18.0, 38.0
LEAST = 0.25


@inlined
def add(table, j, x):
    """Add to vector ``j`` of a table."""
    store(table, j, load(table, j, x) + x)


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
        store(nodes, FALL * MOST + size, -(two * sine * sine))
        store(nodes, SINE * MOST + size, two * sine * cosine)
        store(nodes, FLOOR * MOST + size, cosine * cosine)
        store(nodes, HALF * MOST + size, sine)
        store(nodes, ANGLE * MOST + size, two * middle * step)
        store(nodes, USED * MOST + size, where(used, one, full(like, 0)))
        size += 1
    return size, period


@inner
def normalise(nodes, size, like):
    """Divide the integrand by the sum of its real parts, which is returned."""
    whole = full(like, 0)
    for j in range(size):
        whole = whole + load(nodes, RE * MOST + j, like)
    inverse = full(like, 1) / whole
    for j in range(size):
        store(nodes, RE * MOST + j, load(nodes, RE * MOST + j, like) * inverse)
        store(nodes, IM * MOST + j, load(nodes, IM * MOST + j, like) * inverse)
    return whole


@inner
def put_integrand(nodes, j, size, angle, re, im):
    """size · (re + i im) e^i·2π·angle as the integrand at node ``j``."""
    cosine, sine = turn(angle)
    used = load(nodes, USED * MOST + j, size) * size
    store(nodes, RE * MOST + j, used * (re * cosine - im * sine))
    store(nodes, IM * MOST + j, used * (re * sine + im * cosine))


@inner
def put_change(nodes, size, like):
    """The change of the integrand, from the change of its logarithm, which it overwrites: weights (T − mean of T)."""
    mean = full(like, 0)
    for j in range(size):
        re, im = load(nodes, RE * MOST + j, like), load(nodes, IM * MOST + j, like)
        a, b = load(nodes, DRE * MOST + j, like), load(nodes, DIM * MOST + j, like)
        dre, dim = re * a - im * b, re * b + im * a
        mean = mean + dre
        store(nodes, DRE * MOST + j, dre)
        store(nodes, DIM * MOST + j, dim)
    for j in range(size):
        store(nodes, DRE * MOST + j, load(nodes, DRE * MOST + j, like) - mean * load(nodes, RE * MOST + j, like))
        store(nodes, DIM * MOST + j, load(nodes, DIM * MOST + j, like) - mean * load(nodes, IM * MOST + j, like))
