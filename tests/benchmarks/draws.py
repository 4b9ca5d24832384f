"""Many subsets from one row."""

import peers
import torch
from case import Budget, Case, Record, measure
from settings import core_alone
from timing import Job

import ksubset

DRAWS = 1000


def compare_draws(dtype: str, threads: int, budget: Budget) -> Record:
    """In one call, without a gradient."""
    case = Case(1, 350, 10, dtype, threads)
    row, k = case.normal()[0], case.k
    logits = torch.from_numpy(row)
    jobs: dict[str, Job | str] = {
        "ksubset": Job(lambda: ksubset.sample(logits, k, sample_shape=(DRAWS,))),
        "core": Job(lambda: ksubset.sample(logits, k, sample_shape=(DRAWS,)), core_alone),
        "Gumbel": Job(lambda: peers.gumbel_top_k(logits.expand(DRAWS, -1), k)),
        "ksubset on NumPy": Job(lambda: ksubset.sample(row, k, sample_shape=(DRAWS,))),
    }
    return measure("draws", case, jobs, budget)
