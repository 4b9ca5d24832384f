"""Samples that the CPU fast path draws in stages: their law, with stages as deep as they get, and as they are."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from fast_cases import enumerated
from oracle import TwoGroups
from significance import check_binomial, check_frequencies, check_mean

from ksubset._engine import inference
from ksubset._engine.items import tilted
from ksubset.backends._cpu import calls, planning
from ksubset.backends._cpu.kernels import sampling_stages, team
from ksubset.backends.array_api import NUMPY

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
AT_ONCE = 500
"""Draws held in memory."""


@pytest.fixture
def by_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small k is."""
    monkeypatch.setattr(planning, "WIDEST", dict.fromkeys(planning.WIDEST, -1))


DEEP = {"LAST": 0.2, "FEW": 2, "SHARE_BELOW": 0.5, "BLOCK": 2, "ATTEMPTS": 100}
"""Half of the variance is left by each stage, until it is that of an item; few attempts are enough if λ is right."""

SCRIPT = f"""
import sys
import numpy as np
from ksubset.backends._cpu import calls, planning
from ksubset.backends._cpu.kernels import sampling_stages, team
vars(sampling_stages).update({DEEP})
planning.WIDEST = dict.fromkeys(planning.WIDEST, -1)
given, z = np.load(sys.argv[1]), []
for row, k in zip(given["rows"], given["k"]):
    z.append(calls.sample(row[None], int(k), len(z), (int(given["draws"]),))[0][:, 0])
np.save(sys.argv[2], np.stack(z).astype(np.int8))
"""


def short_rows(dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Rows of twelve items, and their k."""
    rng, infinite = np.random.default_rng(0), np.zeros(12)
    infinite[[0, 5, 11]] = np.inf, -np.inf, np.inf
    apart = np.where(np.arange(12) % 3 == 0, 4.0, -1.0)
    rows = [rng.normal(size=12), 2 * rng.normal(size=12), np.zeros(12), rng.normal(size=12) + infinite, apart]
    return np.stack(rows).astype(dtype), np.array([6, 4, 3, 7, 5])


def number_of_stages(row: np.ndarray, k: int) -> int:
    """How many there are if λ stays as it is."""
    spread, begin, count = tilted(NUMPY, row.astype(float)[:, None], k).spread[:, 0], 0, 0
    while (left := spread[begin:]).sum() > DEEP["LAST"] and len(left) > DEEP["FEW"]:
        first = len(left)
        while first > DEEP["BLOCK"] and left[first:].sum() < DEEP["SHARE_BELOW"] * left.sum():
            first -= int(DEEP["BLOCK"])
        begin, count = begin + first, count + 1
    return count


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
def test_the_law_of_subsets_in_many_stages(dtype: type, tmp_path: Path) -> None:
    """In a process that compiles the sampler with other constants: several stages for twelve items."""
    rows, counts = short_rows(dtype)
    assert min(map(number_of_stages, rows, counts)) >= 2
    np.savez(tmp_path / "given.npz", rows=rows, k=counts, draws=200_000)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "given.npz"), str(tmp_path / "z.npy")]
    subprocess.run(command, check=True, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, timeout=300)
    for row, k, z in zip(rows, counts, np.load(tmp_path / "z.npy"), strict=True):
        check_law(row.astype(float), int(k), z)


def check_law(row: np.ndarray, k: int, z: np.ndarray) -> None:
    """Chi-squared over all subsets; none was given up, and none is drawn that is infeasible."""
    subsets, p = enumerated(row, k)[:2]
    key = 1 << np.arange(len(row))
    counts = np.bincount(z @ key, minlength=1 << len(row))
    places = (subsets @ key).astype(int)
    assert counts[places].sum() == len(z)
    check_frequencies(counts[places], p)


def block_counts(row: np.ndarray, k: int, draws: int, starts: np.ndarray) -> np.ndarray:
    """How many items of each block are chosen, (draws, blocks)."""
    found = []
    for seed in range(draws // AT_ONCE):
        z = calls.sample(row[None], k, seed, (AT_ONCE,))[0][:, 0]
        found.append(np.add.reduceat(z, starts, axis=1))
        assert (found[-1].sum(axis=1) == k).all()
    return np.concatenate(found).astype(int)


def law_of_sum(p: np.ndarray) -> np.ndarray:
    """The law of a sum of independent Bernoulli variables."""
    laws = [np.array([1 - x, x]) for x in p]
    while len(laws) > 1:
        pairs = [np.convolve(a, b) for a, b in zip(laws[::2], laws[1::2], strict=False)]
        laws = pairs + laws[len(laws) - len(laws) % 2 :]
    return laws[0]


def law_of_last(p: np.ndarray, k: int, size: int) -> np.ndarray:
    """The law of how many of the last items are chosen, k being chosen in all."""
    first, last = law_of_sum(p[:-size]), law_of_sum(p[-size:])
    count = np.arange(size + 1)
    others = np.where((count <= k) & (k - count < len(first)), first[np.clip(k - count, 0, len(first) - 1)], 0)
    return last * others / (last * others).sum()


def check_counts(counts: np.ndarray, law: np.ndarray, cells: int = 12) -> None:
    """Chi-squared over ranges of counts of about the same probability: few, so that small shifts show."""
    cell = np.minimum((np.cumsum(law) - law / 2) * cells, cells - 1).astype(int)
    check_frequencies(np.bincount(cell[counts], minlength=cells), np.bincount(cell, law, minlength=cells))


@DTYPES
@pytest.mark.parametrize("n", [300, 3000])
def test_the_law_of_the_last_items(n: int, dtype: type) -> None:
    """Of 3000, a stage takes the contour and one the recursion; of 300, one the recursion."""
    rng, k, draws = np.random.default_rng(1), n // 3, 80_000
    row = rng.normal(size=n).astype(dtype)
    x = tilted(NUMPY, row.astype(float)[:, None], k)
    variance, sizes = float(x.spread.sum()), np.array([n // 2, n // 5, n // 8, n // 15, n // 40])
    assert (variance * sampling_stages.SHARE > sampling_stages.RECURSION) == (n == 3000)
    assert variance > sampling_stages.LAST
    counts = block_counts(row, k, draws, np.append(0, n - sizes))
    for i, size in enumerate(sizes):
        check_counts(counts[:, i + 1 :].sum(axis=1), law_of_last(x.p[:, 0], k, int(size)))


@DTYPES
@pytest.mark.parametrize("n", [10_000, 40_000])
def test_means_and_covariances_of_blocks(n: int, dtype: type) -> None:
    """Of items in two groups, whose marginals and covariance are moments of a law by itself; 40,000 are in sections."""
    assert (n >= team.LONG) == (n == 40_000)
    groups, order = TwoGroups((n * 2 // 5, n * 3 // 5), 1.5, n * 3 // 10), np.random.default_rng(2).permutation(n)
    row, blocks = groups.logits[order].astype(dtype), np.eye(5).repeat(n // 5, axis=0)
    chosen = groups.chosen[order].astype(float)
    images = [groups.jvp(block[np.argsort(order)])[order].astype(float) for block in blocks.T]
    covariance = np.stack(images) @ blocks
    counts = block_counts(row, groups.k, 28_000, np.arange(0, n, n // 5)) - chosen @ blocks
    check_mean(counts, np.zeros(5))
    upper = np.triu_indices(5)
    check_mean(counts[:, upper[0]] * counts[:, upper[1]], covariance[upper])


@DTYPES
@pytest.mark.usefixtures("by_stages")
@pytest.mark.parametrize("n", [100, 4000])
def test_rare_events_keep_their_probability(n: int, dtype: type) -> None:
    """To be chosen beside six that may be, and to be left out beside these: about e^−14 for each item.

    Sixteen random bits never decide that: they tie, as they do for infinite logits, and others do.
    """
    parts, draws = 4, 10_000_000 // n
    for sign in (1, -1):
        row = np.full(n, -14.0 * sign, dtype)
        row[:6], row[-2:] = 0, [-np.inf, np.inf]
        k = 4 if sign == 1 else n - 4
        found = inference.moments(NUMPY, row.astype(float)[None], k, partition=False)
        events = 0
        for seed in range(parts):
            z = calls.sample(row[None], k, seed, (draws,))[0][:, 0]
            assert (z[:, -2:] == [0, 1]).all()
            events += int(np.abs(z[:, 6:-2] - (sign == -1)).sum())
        rare = (found.chosen if sign == 1 else found.unchosen)[0, 6:-2]
        check_binomial(np.array(events), draws * parts, np.array(rare.sum()))
