"""One check of everything the kernels do against the core, small enough to run on every mutant of the source."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cuda_on_cpu.emulator import Emulator, Macros, library
from cuda_on_cpu.philox import counts, subsets

from ksubset._engine import inference
from ksubset._law.fixed_size import FixedSize
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cuda import calls, teams
from ksubset.backends.array_api import NUMPY

TOLERANCE = {"float32": 4e-6, "float64": 2e-14}
SEED = np.array([0x5DEECE66D1234567])
SIZES = (1, 2, 3, 5, 11, 17, 38, 128, 131, 300)
"""Numbers of items: a few lanes to a row, a warp, a block."""


def rows(n: int, dtype: type, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A row for each k from 0 to n, or for a few; then forced, tied, infeasible, NaN, impossible, huge, masked rows."""
    k = np.arange(n + 1) if n < 12 else np.array([0, 1, 4, n // 3, n // 2, n - 9, n])
    logits = rng.normal(size=(k.size, n)) * 2
    logits[-1] += 1e9
    half = n // 2
    special = np.stack([rng.normal(size=n)] * 10)
    special[0, : half // 2] = np.inf
    special[0, half:] = -np.inf
    special[1, :half] = np.inf
    special[2, half + 1 :] = -np.inf
    special[3] = np.round(special[3])
    special[4] = -np.inf
    special[5, n - 1] = np.nan
    special[7] *= 300
    special[8] = 1.8e8
    special[9, n // 4 :] = np.finfo(dtype).min
    counts = np.array([half, half, min(half + 1, n), half, 1, half, n + 1, half, 1, n // 4 + 1])
    return np.concat([logits, special]).astype(dtype), np.concat([k, counts])


def check(emulator: Emulator, dtype: type, sizes: tuple[int, ...] = SIZES) -> None:
    """Raise an AssertionError where a kernel and the core differ, or the emulator objects."""
    rng = np.random.default_rng(0)
    for n in sizes:
        logits, k = rows(n, dtype, rng)
        v = rng.normal(size=logits.shape).astype(dtype)
        for name, actual, expected in comparisons(emulator, logits, k, v, rng):
            assert_close(f"{name}, n = {n}", actual, expected, TOLERANCE[logits.dtype.name])


def check_parts(emulator: Emulator, n: int = 160, draws: int = 200) -> None:
    """Raise an AssertionError where a row so uncertain that it is drawn in parts is not drawn by its law."""
    k = n // 2
    drawn, _ = calls.draw(emulator.runtime, FixedSize(k, k), np.zeros(n, np.float32), (draws,), SEED)
    tail = drawn[:, n // 2 :].sum(axis=-1) - k / 2
    scale = np.sqrt(k * k / (4 * (n - 1)))  # hypergeometric
    assert (drawn.sum(axis=-1) == k).all(), "draws in parts have other counts"
    assert abs(tail.mean()) < 4 * scale / draws**0.5, "draws in parts favour some items"
    assert 0.6 < tail.var() / scale**2 < 1.5, "draws in parts spread otherwise"


def check_several_rows_to_a_block(emulator: Emulator) -> None:
    """Raise an AssertionError where rows drawn in parts disturb each other's marginals."""
    rows, n, k = 130, 129, 43
    logits = np.random.default_rng(1).normal(size=(rows, n)).astype(np.float32)
    both = calls.draw_with_marginals(emulator.runtime, FixedSize(k, k), logits, (), SEED)
    alone = (
        *calls.draw(emulator.runtime, FixedSize(k, k), logits, (), SEED),
        calls.moments(emulator.runtime, FixedSize(k, k), logits).chosen,
    )
    for name, one, other in zip(("draws", "λ", "marginals"), both, alone, strict=True):
        assert_close(f"{name} of rows that share a block", one, other, TOLERANCE["float32"])


@contextmanager
def all_blocks_to_a_row() -> Iterator[None]:
    """Let all blocks of a launch share each row, whatever its length and however many, and have few threads."""
    names, most = ("BLOCK_ITEMS", "ENOUGH_ROWS", "MOST_TOGETHER"), dict(teams.MOST_TEAM)
    kept = {name: getattr(teams, name) for name in names}
    vars(teams).update(BLOCK_ITEMS=0, ENOUGH_ROWS=1 << 30, MOST_TOGETHER=64)
    teams.MOST_TEAM.update(dict.fromkeys(most, 64))
    try:
        yield
    finally:
        vars(teams).update(kept)
        teams.MOST_TEAM.update(most)


def comparisons(
    emulator: Emulator, logits: np.ndarray, k: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Names, what a kernel computes, and what the core does in float64."""
    runtime, wide, n = emulator.runtime, logits.astype(np.float64), logits.shape[1]
    with np.errstate(all="ignore"):
        actual, expected = (
            calls.moments(runtime, FixedSize(k, n // 2), logits),
            inference.moments(NUMPY, wide, k),
        )
        for name in ("chosen", "unchosen"):
            found, exact = getattr(actual, name), getattr(expected, name)
            nearer = exact + (found - exact) / rounded(expected.tilted)
            yield name, nearer.astype(found.dtype), exact
        yield "entropy", *(entropy(solution) for solution in (actual, expected))
        yield "tilt", *(excess(solution, k) < 1.01 for solution in (actual, expected))
        partitions = calls.moments(runtime, FixedSize(k, n // 2), logits, sides=False)
        yield "partition alone", partitions.log_partition, actual.log_partition
        yield "bad rows", np.isnan(partitions.log_partition), np.isnan(expected.log_partition)
        narrow = max(0, n // 2 - 1)
        bad = np.isnan(expected.log_partition) | (np.minimum(k, n - k) > narrow)
        yield "rows too wide", np.isnan(calls.moments(runtime, FixedSize(k, narrow), logits).log_partition), bad
        product = calls.jacobian_product(runtime, FixedSize(k, n // 2), logits, v)
        exact = inference.jacobian_product(NUMPY, wide, k, v.astype(np.float64))
        scale = np.linalg.norm(exact, axis=1, keepdims=True)
        scale = np.where(scale > 1e-30, scale, 1)
        yield "J · v", 1 + product / scale, 1 + exact / scale
        u = rng.uniform(-0.5, 0.5, (7, len(logits), n - 1)).astype(logits.dtype)
        drawn = calls.draw_given(runtime, FixedSize(k, n // 2), logits, u)
        yield "draws from uniforms", drawn, inference.draw(NUMPY, logits, k, n // 2, u)
        drawn, tilts = calls.draw(runtime, FixedSize(k, n // 2), logits, (7,), SEED)
        again = calls.jacobian_product(runtime, FixedSize(k, n // 2), logits, v, tilts)
        yield "J · v from the λ of a draw", 1 + again / scale, 1 + exact / scale
        tilted = (logits + tilts[0, :, None]) + tilts[1, :, None]
        yield "t from the λ of a draw", tilted, actual.tilted
        found = np.empty_like(tilts)
        calls.moments(runtime, FixedSize(k, n // 2), logits, sides=False, tilts=found)
        yield "λ", found, tilts
        both = calls.draw_with_marginals(runtime, FixedSize(k, n // 2), logits, (7,), SEED)
        for name, one, alone in zip(("draws", "λ", "marginals"), both, (drawn, tilts, actual.chosen), strict=True):
            yield f"{name} together", one, alone
        if n <= teams.FEW_ITEMS:
            yield "draws from a seed", drawn, subsets(int(SEED[0]), 7, tilted, k)
            yield "draws of several sizes", *weighted(emulator, logits, rng)
        yield "counts of draws from a seed", drawn.sum(axis=-1), 0 * actual.log_partition + k + np.zeros((7, 1))


def weighted(emulator: Emulator, logits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws whose counts have probabilities, and the same by the reference."""
    runtime, (rows, n), draws = emulator.runtime, logits.shape, 3
    least = n // 3
    law, chances = SizeWeighted(least, n), rng.random((rows, n + 1 - least)).astype(logits.dtype)
    chances[:, 0], chances[0, :-1], chances[-1] = 0, 0, np.nan
    drawn = calls.draw_sizes(runtime, law, logits, chances, (draws,), SEED)
    k = least + counts(int(SEED[0]), draws, chances)
    k[:, -1] = -1
    wide = np.ascontiguousarray(np.broadcast_to(logits, drawn.shape))
    return drawn, subsets(int(SEED[0]), draws, calls.moments(runtime, FixedSize(k, n), wide).tilted, k)


def rounded(t: np.ndarray) -> np.ndarray:
    """How many times the tolerance e^−|t| may be off: |t| beyond 100 is rounded more coarsely than all else."""
    return np.maximum(1, np.where(np.isfinite(t), np.abs(t), 0) / 100)


def excess(solution: inference.Solution, k: np.ndarray) -> np.ndarray:
    """The square of Σp − k as a multiple of what the search for λ aims at."""
    p = 1 / (1 + np.exp(-solution.tilted.astype(np.float64)))
    return (p.sum(axis=-1) - k) ** 2 / np.maximum((p * (1 - p)).sum(axis=-1) / 16, 1e-6)


def entropy(solution: inference.Solution) -> np.ndarray:
    """Joins λ, the partition and both marginals in a number that does not depend on the choice of λ."""
    t = solution.tilted
    unlikely = np.where(t > 0, solution.unchosen, solution.chosen)
    surprise = np.where(unlikely == 0, 0, np.abs(t)) * unlikely
    return 1 + (surprise + 0 * solution.chosen).sum(axis=-1) + solution.log_partition


def assert_close(name: str, actual: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert actual.shape == expected.shape, name
    if actual.dtype == bool:
        actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    wrong = np.isnan(actual) != np.isnan(expected)
    wrong |= np.abs(actual - expected) > tolerance * np.abs(expected) + np.finfo(actual.dtype).tiny * 1e3
    place = tuple(np.argwhere(wrong)[0]) if wrong.any() else ()
    assert not wrong.any(), f"{name}: {actual[place]}, expected {expected[place]}, at {[*map(int, place)]}"


if __name__ == "__main__":

    def build(program: str, macros: Macros) -> ctypes.CDLL:
        return ctypes.CDLL(str(library(Path(sys.argv[1]), program, macros)))

    check(Emulator(build, most_blocks=2), np.float32)
    check_several_rows_to_a_block(Emulator(build))
    check_parts(Emulator(build))
    with all_blocks_to_a_row():
        check(Emulator(build), np.float32, (5, 300))
        check_parts(Emulator(build, processors=3))
