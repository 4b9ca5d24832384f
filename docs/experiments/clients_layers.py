"""Three layers that choose, each with a task that they can learn: ``make(sampler)`` gives a model and its batches."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from clients_samplers import Sampler
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, ...]


class Client(NamedTuple):
    """A model, whose forward pass returns its loss for a batch, and an endless row of batches of a size."""

    model: nn.Module
    batches: Callable[[int], Iterator[Batch]]
    size: int
    steps: int


def experts(sampler: Sampler) -> Client:
    """OLMoE of random weights, whose routers draw 4 of 32 experts for each token; it learns to count in a cycle."""
    from transformers import OlmoeConfig, OlmoeForCausalLM
    from transformers.models.olmoe.modeling_olmoe import OlmoeTopKRouter

    class Router(OlmoeTopKRouter):
        def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            scores = functional.linear(hidden.reshape(-1, self.hidden_dim), self.weight)
            z, _ = sampler(scores, self.top_k, self.top_k, ())
            index = z.topk(self.top_k).indices
            weights = (z * scores.softmax(-1, dtype=torch.float)).gather(-1, index)
            return scores, (weights / weights.sum(-1, keepdim=True)).to(scores.dtype), index

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = OlmoeConfig(
                vocab_size=64,
                hidden_size=64,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_experts=32,
                num_experts_per_tok=4,
                use_cache=False,
                pad_token_id=None,
                eos_token_id=None,
            )
            self.inner = OlmoeForCausalLM(config)
            for layer in self.inner.model.layers:
                layer.mlp.gate = Router(config)
                nn.init.normal_(layer.mlp.gate.weight, std=0.05)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.inner(input_ids=tokens, labels=tokens).loss

    def batches(size: int) -> Iterator[Batch]:
        while True:
            start, step = torch.randint(64, (size, 1)), torch.randint(1, 4, (size, 1))
            yield ((start + step * torch.arange(64)) % 64,)

    return Client(Model(), batches, 16, 60)


def attention(sampler: Sampler) -> Client:
    """Each query attends to at most 4 of the chunks before it; the last one needs the two that are marked."""

    class Model(nn.Module):
        def __init__(self, width: int = 16, budget: int = 4) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
            self.readout, self.budget = nn.Linear(width, width - 1), budget

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            scores = self.query(x) @ self.key(x).mT / x.shape[-1] ** 0.5
            real = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).tril()
            k = real.sum(-1).clamp(max=self.budget)
            z, _ = sampler(scores.masked_fill(~real, -torch.inf), k.expand(scores.shape[:-1]), self.budget, ())
            weight = z * (scores - scores.detach().amax(-1, keepdim=True)).exp()
            weight = weight / weight.sum(-1, keepdim=True)
            index = z.topk(self.budget).indices
            values = self.value(x)[torch.arange(len(x))[:, None, None], index]
            found = (weight.gather(-1, index)[..., None] * values).sum(-2)
            return (self.readout(found[:, -1]) - y).square().mean()

    def batches(size: int, length: int = 64) -> Iterator[Batch]:
        while True:
            x = torch.randn(size, length, 16)
            marked = torch.rand(size, length).argsort(-1) < 2
            x[..., 0] = 3.0 * marked
            yield x, (marked[..., None] * x[..., 1:]).sum(1)

    return Client(Model(), batches, 64, 150)


def rewiring(sampler: Sampler) -> Client:
    """Each of 32 nodes gets 3 of the other nodes as neighbours, in 4 samples; it needs the nodes of its own colour."""

    class Model(nn.Module):
        def __init__(self, width: int = 9, k: int = 3, samples: int = 4) -> None:
            super().__init__()
            self.source, self.target = nn.Linear(width, 16), nn.Linear(width, 16)
            self.update = nn.Sequential(nn.Linear(2 * width, 32), nn.ReLU(), nn.Linear(32, 1))
            self.k, self.samples = k, samples

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            scores = self.source(x) @ self.target(x).mT / 4
            own = torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
            edges, _ = sampler(scores.masked_fill(own, -torch.inf), self.k, self.k, (self.samples,))
            messages = edges @ x.to(edges.dtype) / self.k
            found = self.update(torch.cat([x.expand_as(messages), messages.to(x.dtype)], -1)).mean(0).squeeze(-1)
            return (found - y).square().mean()

    def batches(size: int, nodes: int = 32, colours: int = 8) -> Iterator[Batch]:
        while True:
            colour, value = torch.rand(size, nodes).argsort(-1) % colours, torch.randn(size, nodes)
            same = (colour[:, :, None] == colour[:, None, :]) & ~torch.eye(nodes, dtype=torch.bool)
            y = (same * value[:, None, :]).sum(-1) / 3
            yield torch.cat([functional.one_hot(colour, colours), value[..., None]], -1), y

    return Client(Model(), batches, 32, 150)


CLIENTS: dict[str, Callable[[Sampler], Client]] = {"experts": experts, "attention": attention, "rewiring": rewiring}
