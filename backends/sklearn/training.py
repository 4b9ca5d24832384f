"""Adam on the logits of the subset and on a linear model, together."""

from typing import Any, NamedTuple

import numpy as np

import ksubset
from ksubset.backends.sklearn.data import Data

Parameters = list[np.ndarray]
"""Logits (n,), weights (n, columns) and biases (columns,)."""


class Settings(NamedTuple):
    """The parameters of the selector that steer the training."""

    alpha: float
    n_draws: int
    learning_rate: float
    max_iter: int
    tol: float


def train(data: Data, k: int, settings: Settings, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The logits, and the number of steps made."""
    n, columns = data.features.shape[1], data.targets.shape[1]
    parameters = [np.zeros(n), np.zeros((n, columns)), np.zeros(columns)]
    adam = Adam(parameters, settings.learning_rate)
    while adam.steps < settings.max_iter:
        subset = ksubset.KSubset(parameters[0], k)
        z = subset.sample(rng=rng, sample_shape=(settings.n_draws,))
        parameters = adam.step(parameters, gradients(data, parameters, subset, z, settings.alpha))
        marginals = ksubset.marginals(parameters[0], k)
        if np.minimum(marginals, 1 - marginals).max() < settings.tol:
            break
    return parameters[0], adam.steps


def gradients(
    data: Data, parameters: Parameters, subset: ksubset.KSubset[Any], z: np.ndarray, alpha: float
) -> Parameters:
    """Of the mean loss over the draws z, (draws, n); of the logits by SIMPLE."""
    _, weights, bias = parameters
    draws, n = z.shape
    masked = np.swapaxes(z[:, :, None] * weights, 0, 1)
    scores = (data.features @ masked.reshape(n, -1)).reshape(len(data.features), draws, -1) + bias
    d_scores = _slopes(data, scores) * (data.weights / data.weights.sum() / draws)[:, None, None]
    d_masked = (data.features.T @ d_scores.reshape(len(data.features), -1)).reshape(masked.shape)
    d_weights = np.einsum("sn,nsc->nc", z, d_masked) + alpha / data.weights.sum() * weights
    d_subset = np.einsum("nsc,nc->n", d_masked, weights)
    return [subset.marginals_jvp(d_subset), d_weights, d_scores.sum(axis=(0, 1))]


def _slopes(data: Data, scores: Any) -> Any:
    """Derivatives of the samples' losses with respect to their scores, (m, draws, columns)."""
    if not data.classifies:
        return scores - data.targets[:, None]
    chances = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return chances / chances.sum(axis=-1, keepdims=True) - data.targets[:, None]


class Adam:
    """Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, with their constants."""

    def __init__(self, parameters: Parameters, rate: float) -> None:
        self.rate, self.steps = rate, 0
        self.first, self.second = ([np.zeros_like(p) for p in parameters] for _ in range(2))

    def step(self, parameters: Parameters, slopes: Parameters) -> Parameters:
        """The parameters after one step."""
        self.steps += 1
        self.first = [0.9 * m + 0.1 * g for m, g in zip(self.first, slopes, strict=True)]
        self.second = [0.999 * s + 0.001 * g**2 for s, g in zip(self.second, slopes, strict=True)]
        scale = self.rate * (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps)
        moves = (scale * m / (np.sqrt(s) + 1e-8) for m, s in zip(self.first, self.second, strict=True))
        return [p - move for p, move in zip(parameters, moves, strict=True)]
