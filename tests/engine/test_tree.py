"""What the tree leaves out, and nodes that rise alone."""

from dataclasses import replace

import numpy as np
import pytest

from ksubset._engine.inference import draw
from ksubset._engine.ops import Devices
from ksubset._engine.rows import Rows
from ksubset._engine.tree import SHORT, FullCounts, mirror
from ksubset._engine.window import WindowedCounts
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


@pytest.mark.parametrize(("floor", "size"), [(None, 50), (FLOOR, SHORT)])
def test_short_polynomials_stay_as_they_are(floor: np.ndarray | None, size: int) -> None:
    counts, x = FullCounts(NUMPY, 100, floor), probabilities(50)[:size]
    assert counts.settle(x) is x
    longer = probabilities(50)[: SHORT + 1]
    assert (counts.settle(longer) is longer) == (floor is None)


@pytest.mark.parametrize(("n", "k"), [(150, 60), (401, 150), (450, 225), (401, 300)])
def test_subsets_do_not_depend_on_it(n: int, k: int, rng: np.random.Generator) -> None:
    """float32 on the processor, where counts are left out, against float32 elsewhere, where none are."""
    logits = (rng.normal(size=(3, n)) * np.array([[0.1], [2.0], [9.0]])).astype(np.float32)
    u = rng.random((50, 3, n - 1)).astype(np.float32)
    one, other = (draw(ops, logits, k, min(k, n - k), u) for ops in (NUMPY, replace(NUMPY, eager_on_cpu=False)))
    assert (one.sum(axis=-1) == k).all()
    assert (one == other).all()


def test_a_lone_node_keeps_the_start_of_its_window(rng: np.random.Generator) -> None:
    """So that its polynomial need not be moved when it rises."""
    for n in (19_457, 24_577, 49_153, 50_001):
        p = 1 / (1 + np.exp(-rng.normal(size=(n, 1)) * 3))
        counts = WindowedCounts(NUMPY, Rows(p, 1 - p, n // 3, np.array(False), n // 3))
        for below, above in zip(counts.offsets, counts.offsets[1:], strict=False):
            assert below.shape[0] % 2 == 0 or (above[-1] == below[-1]).all()


def test_of_no_rows_a_lone_node_rises_too() -> None:
    assert draw(NUMPY, np.zeros((0, 5)), 2, 2, np.zeros((3, 0, 4))).shape == (3, 0, 5)


def test_a_mirrored_polynomial(rng: np.random.Generator) -> None:
    x, total = rng.random((5, 3, 2)) + 1, rng.integers(-3, 10, (3, 4, 2))
    devices = Devices(2, np.fft, lambda x, index: np.take_along_axis(x[:, :, None, :], index, axis=0))
    for ops in (NUMPY, replace(NUMPY, devices=devices)):
        found = mirror(ops, x, total)
        for a, node, drawn, row in np.ndindex(5, 3, 4, 2):
            at = total[node, drawn, row] - a
            assert found[a, node, drawn, row] == (x[at, node, row] if 0 <= at < 5 else 0)
