"""Data parallelism for `scale_ranks`: what two processes train, each with a part of the batch, against one alone."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import ksubset

BATCH, WIDE, STEPS = 8, 12, 6


class Model(nn.Module):
    """A subset of features in the middle, drawn with a generator for each part of the batch, or by given uniforms."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.before, self.after = (nn.Linear(i, o, dtype=torch.float64) for i, o in ((4, WIDE), (WIDE, 1)))

    def forward(self, x: Tensor, random: Any) -> Tensor:
        logits = self.before(x)
        if isinstance(random, Tensor):
            mu = ksubset.marginals(logits, 3)
            z = ksubset.sample_from_uniforms(logits.detach(), 3, random) + (mu - mu.detach())
        else:
            parts = zip(logits.chunk(len(random)), random, strict=True)
            z = torch.cat([ksubset.rsample(part, 3, rng=rng) for part, rng in parts])
        return self.after(z)


def train(model: nn.Module, rows: slice, random: Callable[[int], Any]) -> list[Tensor]:
    """Adam on the mean square error over these rows of each batch; the weights in the end."""
    source, optimizer = torch.Generator().manual_seed(9), torch.optim.Adam(model.parameters(), 0.05)
    for step in range(STEPS):
        x = torch.randn(BATCH, 4, dtype=torch.float64, generator=source)
        loss = (model(x[rows], random(step)) - x[rows, :1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [p.detach() for p in model.parameters()]


def ddp(rank: int) -> None:
    """Two processes, each with half of every batch, come to the weights of one that has it all."""
    half = BATCH // 2
    rows = slice(rank * half, (rank + 1) * half)
    u = torch.rand(STEPS, BATCH, WIDE - 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for here, whole in (
        (lambda step: u[step, rows], lambda step: u[step]),
        (always([seeded(rank)]), always([seeded(0), seeded(1)])),
    ):
        found = train(DistributedDataParallel(Model()), rows, here)
        expected = train(Model(), slice(None), whole)
        assert all((a - b).abs().max() > 0.01 for a, b in zip(expected, Model().parameters(), strict=True))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    torch.manual_seed(rank)
    same = [torch.stack([p.sum() for p in train(DistributedDataParallel(Model()), rows, always([None]))])]
    everywhere = [torch.empty_like(same[0]) for _ in range(2)]
    dist.all_gather(everywhere, same[0])
    assert torch.equal(*everywhere)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def always(value: Any) -> Callable[[int], Any]:
    return lambda step: value
