"""Checks of the values in arrays, where they can be read without a synchronisation, or anywhere on request.

Elsewhere a bad row yields NaN in that row alone.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import array_api_compat

from ksubset._call.backend import Backend
from ksubset._call.masks import LOW, PER_ROW, warn_of_masks
from ksubset._engine.arrays import place_of
from ksubset._engine.ops import Array


def check_rows(bad: Array, values: Callable[[int], str], complaint: str, xp: Any, remedy: str = "") -> None:
    """Raise a ValueError that shows the first row for which ``bad``, (...), is true, and the likely remedy."""
    flat = xp.reshape(bad, (-1,))
    if flat.shape[0] and bool(xp.any(flat)):
        row = int(xp.argmax(xp.astype(flat, xp.int32)))
        place = f" in row {place_of(row, tuple(bad.shape))}" if bad.ndim else ""
        raise ValueError(f"{complaint}; got {values(row)}{place}{remedy and ': '}{remedy}")


def check_not_nan(x: Array, name: str) -> None:
    """No NaN in any row."""
    xp = array_api_compat.array_namespace(x)
    check_rows(xp.any(xp.isnan(x), axis=-1), lambda _: "NaN", f"{name} must not contain NaN", xp)


def check_values(logits: Array, k: int | Array, backend: Backend, name: str = "logits") -> None:
    """No NaN, k in range, and infinities that leave a subset to choose; a warning where masked items are chosen."""
    least, most = backend.extremes(logits)
    finite = -inf < least and most < inf
    if finite and least > LOW and isinstance(k, int):
        return
    logits, n = backend.readable(logits), logits.shape[-1]
    k = k if isinstance(k, int) else backend.readable(k)
    xp = array_api_compat.array_namespace(logits)
    if not finite:
        check_not_nan(logits, name)
    check_range(k, n)
    if not finite:
        always, never = _decided(logits, xp)
        _check_feasible(always > k, always, "+inf", "at most k", name, xp)
        _check_feasible(n - never < k, never, "-inf", "at most n - k", name, xp, PER_ROW)
    if least <= LOW:
        warn_of_masks(logits, k, name)


def check_range(k: int | Array, n: int, name: str = "k") -> None:
    """Check that an array k is in [0, n]."""
    if not isinstance(k, int):
        xp = array_api_compat.array_namespace(k)
        flat = xp.reshape(k, (-1,))
        check_rows((k < 0) | (k > n), lambda row: str(int(flat[row])), f"{name} must be in [0, {n}]", xp)


def check_unsigned(k: Any, n: int, backend: Backend, name: str = "k") -> None:
    """Check the range of 64-bit unsigned integers as given, since large ones would look negative once signed."""
    if backend.is_array(k) and str(k.dtype).endswith("uint64"):
        check_range(backend.readable(k), n, name)


def _check_feasible(bad: Array, count: Array, what: str, most: str, name: str, xp: Any, remedy: str = "") -> None:
    flat = xp.reshape(count, (-1,))
    check_rows(bad, lambda row: f"{int(flat[row])}", f"{name} must contain {most} entries of {what}", xp, remedy)


def _decided(logits: Array, xp: Any) -> tuple[Array, Array]:
    """How many items of each row infinite logits include, and exclude."""
    signs = (logits == xp.inf, logits == -xp.inf)
    always, never = (xp.sum(xp.astype(sign, xp.int32), axis=-1) for sign in signs)
    return always, never


def check_log_weights(x: Array) -> None:
    """Neither NaN nor +∞, and not −∞ alone."""
    xp = array_api_compat.array_namespace(x)
    check_not_nan(x, "log_weights")
    check_rows(xp.all(x == -xp.inf, axis=-1), lambda _: "-inf for all", "log_weights must leave a count", xp)
    check_rows(xp.any(x == xp.inf, axis=-1), lambda _: "+inf", "log_weights must not contain +inf", xp)


def check_order(low: int | Array, high: int | Array, n: int, names: tuple[str, str]) -> None:
    """0 ≤ low ≤ high ≤ n."""
    if isinstance(low, int) and isinstance(high, int):
        if low > high:
            raise ValueError(f"{names[0]} must be at most {names[1]}, {high}; got {low}")
        return
    xp = array_api_compat.array_namespace(*(x for x in (low, high) if not isinstance(x, int)))
    low, high = (xp.asarray(x) for x in (low, high))
    low, high = xp.broadcast_arrays(low, high)
    bad, flat = (low < 0) | (high > n) | (low > high), [xp.reshape(x, (-1,)) for x in (low, high)]
    complaint = f"{names[0]} and {names[1]} must be in order and in [0, {n}]"
    check_rows(bad, lambda row: f"{int(flat[0][row])} and {int(flat[1][row])}", complaint, xp)


def check_feasible_counts(logits: Array, log_weights: Array, backend: Backend, name: str) -> None:
    """No NaN among the logits, and infinities that leave a count with a weight."""
    (least, most), n, log_weights = backend.extremes(logits), logits.shape[-1], backend.readable(log_weights)
    finite = -inf < least and most < inf
    logits = backend.readable(logits[..., :0] if finite and least > LOW else logits)
    xp = array_api_compat.array_namespace(logits)
    check_not_nan(logits, name)
    count, (always, never) = xp.arange(n + 1, device=array_api_compat.device(logits)), _decided(logits, xp)
    possible = (count >= always[..., None]) & (count <= n - never[..., None]) & (log_weights > -xp.inf)
    flat = [xp.reshape(xp.broadcast_to(x, possible.shape[:-1]), (-1,)) for x in (always, never)]
    complaint = f"the infinite entries of {name} must leave a count that has a weight"

    def values(row: int) -> str:
        return f"{int(flat[0][row])} entries of +inf and {int(flat[1][row])} of -inf"

    check_rows(~xp.any(possible, axis=-1), values, complaint, xp)
    if least <= LOW:
        warn_of_masks(logits, xp.argmax(xp.astype(log_weights > -xp.inf, xp.int8), axis=-1), name)


def check_binary(z: Array, backend: Backend) -> None:
    """Only 0 and 1."""
    z = backend.readable(z)
    xp = array_api_compat.array_namespace(z)
    if z.dtype == xp.bool:
        return
    check_entries(z, (z != 0) & (z != 1), "z must contain only 0 and 1", xp)


def may_hold_nan(x: Array, backend: Backend) -> bool:
    """Whether an array holds NaN, or cannot be read."""
    if not backend.is_readable(x):
        return True
    x = backend.readable(x)
    xp = array_api_compat.array_namespace(x)
    return bool(xp.any(xp.isnan(x)))


def check_uniforms(u: Array, backend: Backend) -> None:
    """From -1/2 to 1."""
    u = backend.readable(u)
    xp = array_api_compat.array_namespace(u)
    check_entries(u, ~((u >= -0.5) & (u <= 1)), "u must be in [-1/2, 1]", xp)


def check_entries(x: Array, bad: Array, complaint: str, xp: Any, remedy: str = "") -> None:
    """Raise a ValueError that shows the first entry for which ``bad`` is true, and the likely remedy."""
    if not xp.any(bad):
        return

    def entry(row: int) -> str:
        values, wrong = (xp.reshape(a, (-1, x.shape[-1]))[row, ...] for a in (x, bad))
        return str(float(values[int(xp.argmax(xp.astype(wrong, xp.int32)))]))

    check_rows(xp.any(bad, axis=-1), entry, complaint, xp, remedy)
