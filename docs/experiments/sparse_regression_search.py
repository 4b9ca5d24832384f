"""Best subset regression by gradients through samples of a k-subset distribution."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from sparse_regression_loss import Moments, Subset, best, chain_rule_loss, loss
from torch import Tensor
from tqdm import trange

import ksubset
from ksubset import estimators

ALPHA, ALPHAS = 0.001, (0.0001, 0.001, 0.01, 0.03, 0.1, 1.0)
STEPS, DRAWS, RATE = 500, 10, 0.03

Sampler = Callable[..., Tensor]
GRADIENTS: dict[str, Sampler] = {
    "SIMPLE-B": estimators.simple_b,
    "SIMPLE-F, λ = 1": partial(estimators.simple_f, lambda_=1.0),
    "I-MLE, λ = 1": partial(estimators.imle, lambda_=1.0),
    "I-MLE, λ = 10": partial(estimators.imle, lambda_=10.0),
    "top-k ST, τ = 1": estimators.gumbel_topk_st,
    "SoftSub, t = 0.1": estimators.softsub,
    "SoftSub, t = 1": partial(estimators.softsub, t=1.0),
    "L2X, τ = 0.1": estimators.l2x,
    "L2X, τ = 1": partial(estimators.l2x, tau=1.0),
}


def learn(
    moments: Moments,
    starts: int,
    *,
    name: str = "SIMPLE",
    alpha: float = ALPHA,
    objective: Callable[[Tensor, Moments, float], Tensor] = loss,
    sampler: Sampler = estimators.simple,
) -> Tensor:
    """The most likely subset of every start after every step, (steps, starts, n), from normal logits."""
    generator, k = torch.Generator().manual_seed(0), 3
    logits = torch.randn((starts, len(moments.moment)), dtype=torch.float64, generator=generator).requires_grad_()
    optimiser, modes = torch.optim.Adam([logits], lr=RATE), []
    for _ in trange(STEPS, desc=name, unit="step"):
        optimiser.zero_grad()
        masks = sampler(logits, k, rng=generator, sample_shape=(DRAWS,))
        objective(masks, moments, alpha).sum().backward()
        optimiser.step()
        modes.append(ksubset.mode(logits.detach(), k))
    return torch.stack(modes)


def found(modes: Tensor, subset: Subset) -> Tensor:
    """Which starts are at a subset, after every step: (steps, starts)."""
    return (modes[..., subset] == 1).all(-1)


def ends(modes: Tensor) -> list[tuple[Subset, int]]:
    """The last subsets, and from how many starts each is reached, the most frequent first."""
    return Counter(tuple(row.nonzero()[:, 0].tolist()) for row in modes[-1]).most_common()


def compare(moments: Moments, subset: Subset, starts: int) -> dict[str, Any]:
    """How many starts end at a subset, by the penalty, whose best subset is given too, and by the gradient."""

    def count(name: str, **options: Any) -> int:
        return int(found(learn(moments, starts, name=name, **options), subset)[-1].sum())

    penalties = [
        {"alpha": alpha, "best": best(moments, len(subset), alpha), "found": count(f"α = {alpha}", alpha=alpha)}
        for alpha in ALPHAS
    ]
    gradients = {name: count(name, sampler=sampler) for name, sampler in GRADIENTS.items()}
    gradients["SIMPLE, chain rule"] = count("chain rule", objective=chain_rule_loss)
    return {"starts": starts, "penalties": penalties, "gradients": gradients}
