"""Rows that all blocks of a launch share: the battery, each launcher, and rows longer than a block takes."""

from collections.abc import Iterator

import numpy as np
import pytest
from cuda_on_cpu import battery
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator, EmulatorError

from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda import calls, teams
from ksubset.backends._cuda.launch import Device

pytestmark = [NEEDED, OWN_SESSION]


@pytest.fixture
def wide() -> Iterator[None]:
    with battery.all_blocks_to_a_row():
        yield


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_matches_the_core(wide: None, dtype: type) -> None:
    emulator = Emulator()
    battery.check(emulator, dtype)
    blocks = {launch.blocks for launch in emulator.launches if launch.wide}
    assert blocks == {1, 2}


@pytest.mark.parametrize("processors", [1, 2, 3])
def test_draws_in_parts(wide: None, processors: int) -> None:
    battery.check_parts(Emulator(processors=processors))


def test_draws_do_not_depend_on_the_number_of_blocks(wide: None) -> None:
    logits = np.random.default_rng(2).normal(size=(3, 700)).astype(np.float32)
    drawn = [
        calls.draw(Emulator(processors=count).runtime, FixedSize(90, 90), logits, (4,), battery.SEED)[0]
        for count in (1, 2, 3)
    ]
    assert (drawn[0].sum(axis=-1) == 90).all()
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_a_row_longer_than_a_block_takes() -> None:
    """Equal items are treated alike, and nothing is lost in long sums."""
    n, k, emulator = teams.BLOCK_ITEMS + 9, 50_000, Emulator()
    logits, p = np.zeros(n, dtype=np.float32), 50_000 / (teams.BLOCK_ITEMS + 9)
    found = calls.moments(emulator.runtime, FixedSize(k, k), logits)
    np.testing.assert_allclose(found.chosen, p, rtol=4e-6)
    v = np.random.default_rng(8).normal(size=n).astype(np.float32)
    exact = p * (1 - p) * n / (n - 1) * (v.astype(np.float64) - v.mean(dtype=np.float64))
    image = calls.jacobian_product(emulator.runtime, FixedSize(k, k), logits, v)
    assert np.linalg.norm(image - exact) < 4e-6 * np.linalg.norm(exact)
    assert calls.draw(emulator.runtime, FixedSize(k, k), logits, (), battery.SEED)[0].sum() == k
    assert [(launch.wide, launch.blocks) for launch in emulator.launches] == [(True, 2)] * 3


def test_each_processor_has_a_block_at_the_most() -> None:
    plan = teams.plan("ksubset_solve", 5, 1_000_000, "float32", Device(0, 132))
    assert (plan.wide, plan.blocks, plan.threads) == (True, 132, 512)
    alone = teams.plan("ksubset_solve", 5, 1_000_000, "float32", Device(0, 132), may_meet=False)
    assert (alone.wide, alone.size) == (False, 512)
    many = teams.plan("ksubset_solve", 132, 1_000_000, "float32", Device(0, 132))
    assert (many.wide, many.blocks, many.size) == (False, 132, 512)


def test_a_launch_that_is_not_cooperative_is_noticed(wide: None) -> None:
    emulator = Emulator()
    emulator.cooperates = False
    with pytest.raises(EmulatorError, match="waits for others"):
        calls.moments(emulator.runtime, FixedSize(90, 90), np.zeros((1, 700), np.float32))
