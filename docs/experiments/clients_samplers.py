"""What a layer may draw subsets with: this library, or the dynamic programme in logarithms that routers use today."""

from collections.abc import Callable

import torch
from torch import Tensor

import ksubset

Sampler = Callable[[Tensor, int | Tensor, int, tuple[int, ...]], tuple[Tensor, Tensor]]
"""``sampler(logits, k, most, sample_shape)``: samples with the SIMPLE gradient, and the marginals; k ≤ ``most``."""

NOTHING, MASKED = -1e9, -1e4
"""Finite stand-ins for −∞, of a count that cannot be and of a masked item: the derivatives of −∞ would be NaN."""


def ours(logits: Tensor, k: int | Tensor, most: int, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
    bound = {} if isinstance(k, int) else {"max_k": most}
    return ksubset.sample_with_marginals(logits, k, sample_shape=sample_shape, **bound)


def dynamic_programme(
    logits: Tensor, k: int | Tensor, most: int, sample_shape: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Item by item, counts in logarithms; the marginals are the derivative of the last one, and have their own."""
    theta = logits.float().clamp(min=MASKED)
    sizes = torch.as_tensor(k, device=logits.device).expand(logits.shape[:-1])
    with torch.enable_grad():
        given = theta if theta.requires_grad else theta.detach().requires_grad_()
        levels = suffixes(given, most)
        total = levels[-1].gather(-1, sizes[..., None]).sum()
        (mu,) = torch.autograd.grad(total, given, create_graph=logits.requires_grad)
    with torch.no_grad():
        z = walk(theta, levels[::-1], sizes.expand(*sample_shape, *sizes.shape))
    return (z + (mu - mu.detach())).to(logits.dtype), mu.to(logits.dtype)


def suffixes(theta: Tensor, most: int) -> list[Tensor]:
    """log Σ exp(θ · z) over the subsets z of the last items of each size 0 … most: of no items, of one, …, of all."""
    level = theta.new_full((*theta.shape[:-1], most + 1), NOTHING)
    level = torch.cat([torch.zeros_like(level[..., :1]), level[..., 1:]], -1)
    levels, nothing = [level], torch.full_like(level[..., :1], NOTHING)
    for i in reversed(range(theta.shape[-1])):
        chosen = torch.cat([nothing, level[..., :-1]], -1) + theta[..., i, None]
        level = torch.stack([level, chosen]).logsumexp(0)  # the second derivative of logaddexp is NaN
        levels.append(level)
    return levels


def walk(theta: Tensor, levels: list[Tensor], left: Tensor) -> Tensor:
    """A subset, item by item: each is chosen with its probability given how many are left to choose."""
    chosen = []
    for i in range(theta.shape[-1]):
        here, after = (x.expand(*left.shape, x.shape[-1]) for x in levels[i : i + 2])
        rest = after.gather(-1, (left - 1).clamp(min=0)[..., None]).squeeze(-1)
        log_p = theta[..., i] + rest - here.gather(-1, left[..., None]).squeeze(-1)
        picked = (torch.rand_like(log_p) < log_p.exp()) & (left > 0)
        chosen.append(picked)
        left = left - picked.long()
    return torch.stack(chosen, -1).to(theta.dtype)


SAMPLERS: dict[str, Sampler] = {"ksubset": ours, "dynamic programme": dynamic_programme}
