"""What is measured where: a shape, a dtype, a number of threads; and the record of a measurement."""

from typing import Any, NamedTuple

import numpy as np
from timing import Job, interleaved, summary

SHAPES = (
    (128, 10, 5),
    (2000, 20, 10),
    (128, 350, 10),
    (32, 1000, 100),
    (64, 2000, 1000),
    (1, 10_000, 100),
    (1, 100_000, 1000),
    (1, 1_000_000, 500_000),
    (4096, 64, 8),
    (16_384, 8, 2),
    (8, 131_072, 4096),
)

TURN = 0.01
"""Seconds that a job goes on when it is its turn."""

Record = dict[str, Any]
"""``experiment``, the fields of `Case`, ``times`` by the name of the job, and ``skipped`` with reasons."""


class Case(NamedTuple):
    """Where jobs are compared."""

    rows: int
    n: int
    k: int
    dtype: str = "float32"
    threads: int = 1

    def normal(self, seed: int = 0, scale: float = 1.0) -> np.ndarray:
        """Logits, or a target, from a normal distribution."""
        return (np.random.default_rng(seed).normal(size=(self.rows, self.n)) * scale).astype(self.dtype)


class Budget(NamedTuple):
    """How long to measure."""

    seconds: float
    fewest: int
    most_numbers: float
    """Shapes with more numbers are left out."""


FULL, QUICK = Budget(0.25, 5, np.inf), Budget(0.005, 1, 100_000)


def measure(experiment: str, case: Case, jobs: dict[str, Job | str], budget: Budget, **more: object) -> Record:
    """Time the jobs; a string in place of one says why it is skipped."""
    run = {name: job for name, job in jobs.items() if isinstance(job, Job)}
    times = {name: summary(t) for name, t in interleaved(run, budget.seconds, fewest=budget.fewest, turn=TURN).items()}
    skipped = {name: why for name, why in jobs.items() if isinstance(why, str)}
    return {"experiment": experiment, **case._asdict(), **more, "times": times, "skipped": skipped}
