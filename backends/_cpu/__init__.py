"""The CPU fast path: Numba kernels on NumPy arrays, on CPU tensors through their NumPy views, and in JAX's programs.

`find_path` says which kernel a call would take. `solve`, `jacobian_product` and `sample` agree with the functions of
the same names in ``ksubset._inference``. Logits are (rows, n) of float32 or float64, copied only if not C-contiguous; k
is an int or integers (rows,). A row that is infeasible or holds a NaN gives NaN in its own results alone.
"""

from ctypes import addressof, c_char
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64

from ksubset.backends._cpu import kernels, threads
from ksubset.backends._cpu.block import WHOLE
from ksubset.backends._cpu.vectors import COUNTS, ROWS, WIDTH, Layout, LayoutType
from ksubset.backends._cpu.window import PAD, Rule

__all__ = ["Path", "Solved", "find_path", "jacobian_product", "plan", "sample", "solve"]

SINGLE, DOUBLE, DRAWING = Rule(5.5, 5.5**2 / 6, 2.0), Rule(8.5, 8.5**2 / 6, 2.0), Rule(9.0, 9.0**2 / 6, 3.0)
KINDS = {np.dtype(np.float32): float32, np.dtype(np.float64): float64}
LAYOUTS = {(d, across): Layout(kind, across) for d, kind in KINDS.items() for across in (ROWS, COUNTS)}
_NOTHING = {dtype: np.empty((0, 0), dtype) for dtype in KINDS}
WORD = 0x7FFF_FFFF_FFFF_FFFF
FEW_ROWS, LONG_FEW_ROWS, LONG = 3, 8, 16_384
"""Up to so many rows go one by one, a vector along the counts: more of them where rows are long."""


class Path(NamedTuple):
    """Which kernel a call takes.

    Attributes
    ----------
    across
        ``"rows"``: a row in each lane of a vector; ``"counts"``: row by row, a vector along the counts.
    windowed
        Whether the recursions stay in the bridge window, as opposed to all counts up to k.
    reason
        The same in words.
    """

    across: str
    windowed: bool
    reason: str

    @property
    def family(self) -> str:
        """What `ksubset.show_config` calls these kernels."""
        return "the fast path"

    @property
    def solves(self) -> bool:
        """Whether the kernel finds a whole `ksubset._inference.Solution`, at no extra cost."""
        return False


class Solved(NamedTuple):
    """What `solve` found.

    Attributes
    ----------
    shift
        λ, (rows,): t = θ + λ.
    log_count
        log P(Σz = k) under independent items with probabilities σ(t), (rows,).
    chosen, unchosen
        μ and 1 − μ, (rows, n), both with full relative accuracy; None where they were not asked for.
    entropy
        (rows,), None where it was not asked for.
    """

    shift: np.ndarray
    log_count: np.ndarray
    chosen: np.ndarray | None
    unchosen: np.ndarray | None
    entropy: np.ndarray | None


def find_path(rows: int, n: int, width: int, dtype: Any, *, drawing: bool = False) -> Path | None:
    """Say how a call with so many rows and min(k, n − k) at most ``width`` would be computed.

    Parameters
    ----------
    rows, n, width
        The shape, and a bound of min(k, n − k).
    dtype
        Of the logits: anything ``numpy.dtype`` accepts.
    drawing
        Whether samples are wanted; their window is wider.

    Returns
    -------
    Path or None
        None if the fast path does not take the call.
    """
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return None
    if kind not in KINDS or rows < 1 or n < 1:
        return None
    rule = DRAWING if drawing else _rule(kind)
    across, windowed = _across(rows, n), width > 2 * (rule.skew + rule.margin)
    lanes = "row by row, counts in SIMD lanes" if across == COUNTS else f"{WIDTH[KINDS[kind]]} rows in SIMD lanes"
    reach = "in the bridge window" if windowed else f"all counts up to {width}"
    return Path(across, windowed, f"{lanes}, {reach}")


def solve(
    logits: np.ndarray,
    k: int | np.ndarray,
    *,
    sides: bool = True,
    chosen: bool = True,
    entropy: bool = False,
    threads: int | None = None,
) -> Solved:
    """Compute λ, log P(Σz = k), and on request both marginals and the entropy.

    Parameters
    ----------
    logits, k
        As this module says.
    chosen, sides, entropy
        Whether to return μ, both μ and 1 − μ, and the entropy.
    threads
        At most so many; None for `threads.default_threads`.

    Returns
    -------
    Solved
    """
    rows, dtype = len(logits), logits.dtype
    numbers = np.empty((3, 1, rows), dtype)
    mu = np.empty(logits.shape, dtype) if chosen or sides else _NOTHING[dtype]
    rest = np.empty(logits.shape, dtype) if sides else _NOTHING[dtype]
    information = numbers[2] if entropy else _NOTHING[dtype]
    _run(kernels.solve, logits, k, (numbers[0], numbers[1], information, mu, rest), _rule(dtype), 1, threads)
    return Solved(
        numbers[0, 0],
        numbers[1, 0],
        mu if chosen or sides else None,
        rest if sides else None,
        numbers[2, 0] if entropy else None,
    )


def jacobian_product(
    logits: np.ndarray,
    k: int | np.ndarray,
    v: np.ndarray,
    *,
    shift: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Compute J · v, J = ∂μ/∂θ = Cov(z).

    Parameters
    ----------
    logits, k
        As this module says.
    v
        Contiguous, of the shape and dtype of ``logits``.
    shift
        λ as `solve` or `sample` returned it for the same logits: saves the search for it.
    threads
        As in `solve`.

    Returns
    -------
    numpy.ndarray, shape (rows, n)
    """
    out = np.empty(logits.shape, logits.dtype)
    known = _NOTHING[logits.dtype] if shift is None else shift[None, :]
    v = np.ascontiguousarray(v, logits.dtype)
    if not v.size:
        return out
    _run(kernels.jacobian_product, logits, k, (known, _address(v), out), _rule(logits.dtype), 4, threads, v)
    return out


def sample(
    logits: np.ndarray, k: int | np.ndarray, seed: int, draws: int = 1, *, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw exact subsets.

    Parameters
    ----------
    logits, k
        As this module says.
    seed
        Any int. Draw d of row r depends on the seed, on d · rows + r and on the row: not on the number of threads.
    draws
        How many subsets to draw from each row.
    threads
        As in `solve`.

    Returns
    -------
    z : numpy.ndarray, shape (draws, rows, n)
        0 and 1 in the dtype of ``logits``.
    shift : numpy.ndarray, shape (rows,)
        λ, for `jacobian_product`.
    """
    rows, n = logits.shape
    z, shift = np.empty((draws * rows, n), logits.dtype), np.empty((1, rows), logits.dtype)
    _run(kernels.sample, logits, k, (shift, seed & WORD, draws, z), DRAWING, 1 + draws, threads)
    return z.reshape(draws, rows, n), shift[0]


def plan(rows: int, n: int, same: int, dtype: Any, *, drawing: bool = False) -> tuple[LayoutType, Rule, int]:
    """Say how one of `handlers` computes its answers.

    Parameters
    ----------
    rows, n, dtype
        The shape and the dtype of the logits.
    same
        A k for all rows, or −1.
    drawing
        As in `find_path`.

    Returns
    -------
    layout : LayoutType
        For `compiling.handler`.
    rule : Rule
        The window.
    scratch : int
        Bytes of memory to provide, beside 8 for every k if they differ.
    """
    dtype = np.dtype(dtype)
    layout, _, size = _arrange(dtype, _across(rows, n), n, same)
    return layout.kind, DRAWING if drawing else _rule(dtype), size + rows * 2 * dtype.itemsize + 256


def _across(rows: int, n: int) -> str:
    return COUNTS if rows <= (LONG_FEW_ROWS if n >= LONG else FEW_ROWS) else ROWS


def _rule(dtype: np.dtype[Any]) -> Rule:
    return SINGLE if dtype.itemsize == 4 else DOUBLE


def _address(x: np.ndarray) -> int:
    """Where an array that is not empty starts; ``x.ctypes`` takes 2 µs, a fifth of the smallest call."""
    return addressof(c_char.from_buffer(x.data)) if x.flags.writeable else x.ctypes.data


def _one_count(k: int, n: int) -> int:
    """A k for all rows; n + 1 stands for one out of range."""
    return k if 0 <= k <= n else n + 1


@lru_cache(maxsize=1024)
def _arrange(dtype: np.dtype[Any], across: str, n: int, same: int) -> tuple[Layout, int, int]:
    """The layout, the rows in a vector, and memory for their items and for a table of Dual numbers, in bytes."""
    lanes = WIDTH[KINDS[dtype]] if across == ROWS else 1
    item, width = lanes * dtype.itemsize, n // 2 if same < 0 else min(same, abs(n - same))
    table = 2 * item * (n // 4 + 2) * (width + 2 * PAD + 64)
    return LAYOUTS[dtype, across], lanes, (20 * item + 8) * (n + 64) + min(table, WHOLE)


def _run(
    kernel: Any,
    logits: np.ndarray,
    k: int | np.ndarray,
    arguments: tuple[Any, ...],
    rule: Rule,
    passes: int,
    limit: int | None,
    *inputs: np.ndarray,
) -> None:
    """Call a kernel on ranges of rows; ``inputs`` are the arrays whose addresses are among the arguments."""
    rows, n = logits.shape
    if not logits.size:
        return
    logits = np.ascontiguousarray(logits)
    each = np.ascontiguousarray(k, np.int64) if isinstance(k, np.ndarray) and k.ndim else None
    same = _one_count(int(k), n) if each is None else -1
    layout, lanes, size = _arrange(logits.dtype, _across(rows, n), n, same)
    head = _address(logits), 0 if each is None else _address(each), same, n, rows

    def part(start: int, stop: int, _alive: object = (logits, each, inputs)) -> None:  # outlives an interrupted call
        kernel(*head, start, stop, *arguments, *rule, *threads.scratch(size), layout)

    work = passes * rows * n * 20
    threads.run(part, rows, lanes, work, threads.default_threads() if limit is None else limit)
