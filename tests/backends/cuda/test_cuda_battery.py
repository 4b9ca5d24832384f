"""The battery: the CUDA kernels, executed on the CPU, on generated rows of every kind, against the truth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from battery_bounds import check_images, check_marginals, check_scalars, check_sums, has_one_subset
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator
from hypothesis import HealthCheck, given, settings
from oracle import recursion
from strategies import DRAWN, Rows, batches

from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda import calls, evaluation

pytestmark = [NEEDED, OWN_SESSION]
DTYPES = ("float32", "float64")
SHORT, LONG = tuple(range(1, 15)), (48, 70, 150)
MOST_BLOCKS = (1, 2**31)
"""One block takes all rows, one after the other; or there are blocks for all."""


def generated(few: int, many: int, sizes: tuple[int, ...]) -> Callable[[Callable[..., None]], Any]:
    """Give a test few batches of rows, and a slow test many."""

    def decorate(test: Callable[..., None]) -> Any:
        @pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])
        def run(examples: int) -> None:
            chosen = {"deadline": None, "database": None, "derandomize": True, "print_blob": True}

            @settings(max_examples=examples, suppress_health_check=list(HealthCheck), **chosen)
            @given(batches(DTYPES, sizes, DRAWN))
            def all_cases(case: Rows) -> None:
                test(case)

            all_cases()

        return run

    return decorate


def check(case: Rows, chosen: np.ndarray, truth: list[Any], image: np.ndarray) -> None:
    """Both marginals, J · v with λ found and given, entropies, and that subsets have k items, the certain ones."""
    logits, v = case.logits.astype(case.dtype), case.v.astype(case.dtype)
    emulator = Emulator(most_blocks=MOST_BLOCKS[case.seed % 2], processors=1 + case.seed % 3)
    runtime, law = emulator.runtime, FixedSize(case.k, logits.shape[1])
    found = calls.moments(runtime, law, logits)
    check_marginals(case, found.chosen, chosen)
    check_marginals(case, found.unchosen, np.stack([row.unchosen for row in truth]))
    check_sums(case, found.chosen)
    drawn, tilts = calls.draw(runtime, law, logits, (2,), np.array([case.seed], dtype=np.int64))
    np.testing.assert_array_equal(drawn.sum(axis=-1), np.broadcast_to(case.k, (2, len(case.k))))
    np.testing.assert_array_equal(drawn[:, case.logits == np.inf], 1)
    np.testing.assert_array_equal(drawn[:, case.logits == -np.inf], 0)
    for known in (None, tilts):
        check_images(case, calls.jacobian_product(runtime, law, logits, v, known), image)
    entropies = evaluation.evaluate(runtime, functions.entropy, law, logits, solution=found)
    check_scalars(case, entropies, [row.entropy for row in truth])


@generated(few=25, many=1000, sizes=SHORT)
def test_short_rows_are_enumerated(case: Rows) -> None:
    rows, image = case.truth, np.stack([row.jvp(v) for row, v in zip(case.truth, case.v, strict=True)])
    check(case, np.stack([row.marginals for row in rows]), rows, image)


@generated(few=10, many=300, sizes=LONG)
def test_longer_rows_are_those_of_the_recursion(case: Rows) -> None:
    truth = [recursion(*row) for row in zip(case.logits, case.k, case.v, strict=True)]
    image = np.where(has_one_subset(case)[:, None], 0, np.stack([row.jvp for row in truth]))
    check(case, np.stack([row.chosen for row in truth]), truth, image)
