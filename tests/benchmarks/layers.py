"""The layer as people use it, on torch tensors: a sample forward, a gradient backward."""

from collections.abc import Callable, Iterator
from functools import partial

import peers
import torch
from case import Budget, Case, Record, measure
from settings import core_alone
from timing import Job
from torch import Tensor

import ksubset

Layer = Callable[[Tensor, int], Tensor]

MOST_SOFTSUB, MOST_LOG_SPACE, MOST_ITEMS = 60e6, 30e6, 10_000
"""Above these numbers of rows · n · k, or of items one by one, a peer would take more than about 2 s a step."""


def compare_layers(case: Case, budget: Budget) -> Iterator[Record]:
    """Forward alone, and a whole step."""
    for experiment, make in (("forward", _forward), ("step", _step)):
        yield measure(experiment, case, layer_jobs(case, make), budget)


def compare_marginals(case: Case, budget: Budget) -> Record:
    """Marginals without their gradient."""
    logits, k = torch.from_numpy(case.normal()), case.k
    jobs: dict[str, Job | str] = {
        "ksubset": Job(lambda: ksubset.marginals(logits, k)),
        "core": Job(lambda: ksubset.marginals(logits, k), core_alone),
        "log-space": Job(lambda: peers.log_space_marginals(logits, k)),
    }
    if case.rows * case.n * k > MOST_LOG_SPACE or case.n > MOST_ITEMS:
        jobs["log-space"] = "over 2 s"
    return measure("marginals", case, jobs, budget)


def layer_jobs(case: Case, make: Callable[[Layer, Case], Callable[[], object]] | None = None) -> dict[str, Job | str]:
    """Jobs by name, of a whole step unless ``make`` says otherwise."""
    make = make or _step
    jobs: dict[str, Job | str] = {
        "ksubset": Job(make(ksubset.rsample, case)),
        "core": Job(make(ksubset.rsample, case), core_alone),
        "Gumbel": Job(make(peers.gumbel_straight_through, case)),
        "Gumbel, log log": Job(make(partial(peers.gumbel_straight_through, noise=peers.uniform_noise), case)),
        "SoftSub": Job(make(peers.softsub, case)),
    }
    if case.rows * case.n * case.k > MOST_SOFTSUB:
        jobs["SoftSub"] = "over 2 s"
    return jobs


def _forward(layer: Layer, case: Case) -> Callable[[], object]:
    logits = torch.from_numpy(case.normal()).requires_grad_()
    return lambda: layer(logits, case.k)


def _step(layer: Layer, case: Case) -> Callable[[], object]:
    """Forward and backward of Σ(z − target)²."""
    logits, target = torch.from_numpy(case.normal()).requires_grad_(), torch.from_numpy(case.normal(seed=1))

    def step() -> None:
        logits.grad = None
        ((layer(logits, case.k) - target) ** 2).sum().backward()

    return step
