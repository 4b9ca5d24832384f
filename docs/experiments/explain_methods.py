"""The ways to draw a subset that the experiment compares, each with the settings that a search tries."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ksubset
from ksubset import estimators

Sampler = Callable[..., Tensor]
"""From logits (batch, n), k and parameters to a sample, relaxed or not, that a gradient passes through."""


class Method(NamedTuple):
    """An estimator and the values of its parameters that are tried."""

    title: str
    sample: Sampler
    grid: dict[str, tuple[float, ...]]
    rates: tuple[float, ...] = (0.002, 0.005)
    """Learning rates, each tried with every combination of the values."""


@dataclass(frozen=True)
class Setting:
    """All that decides a training."""

    method: str
    k: int
    seed: int
    rate: float
    epochs: int
    parameters: dict[str, float] = field(default_factory=dict)

    def name(self) -> str:
        """Of its file."""
        words = [f"{key}{value:g}" for key, value in {"rate": self.rate, **self.parameters}.items()]
        return "_".join([self.method, f"k{self.k}", f"seed{self.seed}", f"epochs{self.epochs}", *words])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _imle(logits: Tensor, k: int, *, lambda_: float, tau: float) -> Tensor:
    """The loss is a mean over the batch, so that g arrives divided by the batch's size, and λ must make up for it."""
    noise = estimators.SumOfGamma(tau=tau)
    return estimators.imle(logits, k, lambda_=lambda_ * len(logits), noise=noise)


def _random(logits: Tensor, k: int) -> Tensor:
    """Any k tokens: what a choice that has learned nothing is worth."""
    return ksubset.sample(torch.where(logits > -torch.inf, torch.zeros_like(logits), logits).detach(), k)


def _all(logits: Tensor, k: int) -> Tensor:
    """All tokens alike, with k as their total weight: what the choice of k costs."""
    present = (logits > -torch.inf).to(logits.dtype)
    return present * k / present.sum(dim=-1, keepdim=True)


METHODS = {
    "simple": Method("SIMPLE", ksubset.rsample, {}, (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01)),
    "imle": Method("I-MLE", _imle, {"lambda_": (30.0, 100.0, 300.0), "tau": (1.0, 3.0)}),
    "softsub": Method("SoftSub", estimators.softsub, {"t": (0.1, 0.5, 2.0, 5.0, 10.0)}),
    "l2x": Method("L2X", estimators.l2x, {"tau": (0.1, 0.5, 2.0, 5.0, 10.0)}),
}
REFERENCES = {"random": Method("k random tokens", _random, {}), "all": Method("all tokens", _all, {})}
"""No choice is learned here."""

EVERY = METHODS | REFERENCES


def combinations(method: Method) -> list[dict[str, float]]:
    """Of the values of its parameters."""
    return [dict(zip(method.grid, values, strict=True)) for values in product(*method.grid.values())]
