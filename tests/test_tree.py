"""What the tree leaves out, and nodes that rise alone."""

from dataclasses import replace

import numpy as np
import pytest

from ksubset._functions import marginals, marginals_jvp
from ksubset._layout import orient
from ksubset._tree import SHORT, FullCounts
from ksubset._window import WindowedCounts
from ksubset.backends.array_api import NUMPY

FLOOR = np.array([1e-3, 0.0])


def probabilities(size: int) -> np.ndarray:
    """Of two rows: twenty counts that are likely, ten of less than the floor, and none."""
    x = np.zeros((size, 2, 2))
    x[:20], x[20:30] = 0.05, 1e-4
    x[25:, :, 1] = 0
    return x


def test_counts_below_the_floor_are_left_out() -> None:
    counts, x = FullCounts(NUMPY, 100, FLOOR), probabilities(50)
    settled = counts.settle(x)
    assert settled.shape == (26, 2, 2)  # one more than the last that matters anywhere
    np.testing.assert_allclose(settled[:20, :, 0], 0.049)
    assert (settled[20:, :, 0] == 0).all()
    assert (settled[..., 1] == x[:26, :, 1]).all()
    one = np.zeros((50, 2, 2))
    one[0] = 1
    assert counts.settle(one).shape[0] == 2
    full = np.full((50, 2, 2), 0.02)
    assert counts.settle(full).shape[0] == 50


def test_so_are_their_tangents() -> None:
    counts, tangents = FullCounts(NUMPY, 100, FLOOR), np.full((50, 2, 2), 7.0)
    settled = counts.settle(probabilities(50))
    found = counts.settle_tangents(tangents, settled)
    assert (found == np.where(settled == 0, 0, 7)).all()


@pytest.mark.parametrize(("floor", "size"), [(None, 50), (FLOOR, SHORT)])
def test_short_polynomials_stay_as_they_are(floor: np.ndarray | None, size: int) -> None:
    counts, x = FullCounts(NUMPY, 100, floor), probabilities(50)[:size]
    assert counts.settle(x) is x
    assert counts.settle_tangents(x, x) is x
    longer = probabilities(50)[: SHORT + 1]
    assert (counts.settle(longer) is longer) == (floor is None)
    assert (counts.settle_tangents(longer, longer) is longer) == (floor is None)


@pytest.mark.parametrize(("n", "k"), [(150, 60), (401, 150), (450, 225)])
def test_results_do_not_depend_on_it(n: int, k: int, rng: np.random.Generator) -> None:
    """float32 on the processor, where counts are left out, against float64 and float32 elsewhere, where none are."""
    logits, v = rng.normal(size=(3, n)) * np.array([[0.1], [2.0], [9.0]]), rng.normal(size=(3, n))
    exact = [marginals(NUMPY, logits, k, min(k, n - k)), marginals_jvp(NUMPY, logits, k, min(k, n - k), v)]
    single = logits.astype(np.float32), k, min(k, n - k)
    for ops in (NUMPY, replace(NUMPY, eager_on_cpu=False)):
        found = [marginals(ops, *single), marginals_jvp(ops, *single, v.astype(np.float32))]
        np.testing.assert_allclose(found[0], exact[0], rtol=1e-5)
        errors = np.linalg.norm(found[1] - exact[1], axis=1) / np.linalg.norm(exact[1], axis=1)
        assert (errors < 1e-5).all()


def test_a_lone_node_keeps_the_start_of_its_window(rng: np.random.Generator) -> None:
    """So that its polynomial need not be moved when it rises."""
    for n in (19_457, 24_577, 49_153, 50_001):
        p = 1 / (1 + np.exp(-rng.normal(size=(n, 1)) * 3))
        counts = WindowedCounts(NUMPY, orient(NUMPY, np.zeros((1, n)), n // 3, n // 3), p)
        for below, above in zip(counts.offsets, counts.offsets[1:], strict=False):
            assert below.shape[0] % 2 == 0 or (above[-1] == below[-1]).all()


def test_of_no_rows_a_lone_node_rises_too() -> None:
    assert marginals(NUMPY, np.zeros((0, 5)), 2, 2).shape == (0, 5)


@pytest.mark.parametrize("size", [3, 12, 40])
@pytest.mark.parametrize("outer_size", [2, 5, 100])
def test_correlation_reads_no_further_than_two_nodes_reach(
    size: int, outer_size: int, rng: np.random.Generator
) -> None:
    """The weights of a potential are as many as its counts, also where nodes have left out their rare ones."""
    outer, siblings = rng.random((outer_size, 3, 2)), rng.random((size, 2, 3, 2))
    longer = np.concatenate([outer, np.zeros((2 * size, 3, 2))])
    expected = [(longer[a : a + size, None] * siblings).sum(axis=0) for a in range(size)]
    found = FullCounts(NUMPY, 200).correlate(0, outer, siblings)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
