"""What a user writes, for strict type checkers: results have the type of the array that was given."""

from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

import ksubset
from ksubset.backends.torch import SubsetGate, SubsetSampler


class Gate(torch.nn.Module):
    """A layer that keeps k of n features."""

    def __init__(self, n: int, k: int) -> None:
        super().__init__()
        self.logits, self.k = torch.nn.Parameter(torch.zeros(n)), k
        self.sampler = SubsetSampler(k)

    def forward(self, x: Tensor) -> Tensor:
        z = ksubset.rsample(self.logits.expand(x.shape), self.k)
        assert_type(z, Tensor)
        return x * z


def features(gate: SubsetGate, x: Tensor) -> Tensor:
    assert_type(gate.chosen, Tensor)
    z = ksubset.estimators.gumbel_topk_st(gate.logits, 2, sample_shape=(len(x),))
    gated: Tensor = gate(x)
    return gated + z * gate.probabilities


def in_torch(logits: Tensor) -> Tensor:
    d = ksubset.KSubset(logits, 2)
    assert_type(d.mean, Tensor)
    assert_type(ksubset.entropy(logits, ksubset.at_most(2)), Tensor)
    return d.log_prob(d.rsample(sample_shape=(3,))).mean()


def in_jax(logits: jax.Array, key: jax.Array) -> jax.Array:
    z = ksubset.sample(logits, 2, rng=key)
    assert_type(z, jax.Array)
    return jnp.mean(ksubset.log_prob(logits, 2, z))


def in_numpy(logits: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    mu = ksubset.marginals(logits, 2)
    assert_type(mu, "np.ndarray[tuple[int], np.dtype[np.float64]]")
    return float(ksubset.log_normalizer(logits, 2)) + float(mu.sum())


if __name__ == "__main__":
    print(Gate(4, 2)(torch.ones(3, 4)).sum(-1).tolist(), features(SubsetGate(4, 2), torch.ones(3, 4)).shape)
    print(
        in_torch(torch.zeros(4)).shape, in_jax(jnp.zeros(4), jax.random.key(0)).shape, round(in_numpy(np.zeros(4)), 3)
    )
