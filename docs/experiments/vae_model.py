"""The discrete sparse autoencoder, and the ways to draw its latent subsets.

An image becomes logits θ of 20 rows of 20 items; of each row k items are chosen; the 400 zeros and ones become an image
again. −ELBO = E[−log p(x | z)] + Σ_rows KL(p_θ ‖ uniform), with independent Bernoulli pixels: in nats per image.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import ksubset
from ksubset import estimators

ROWS, ITEMS, PIXELS = 20, 20, 784
BATCH = 100

Draw = Callable[..., Tensor]
"""From logits (images, rows, items), ``k``, the ``value`` of its own parameter and a ``generator`` to subsets."""


class Method(NamedTuple):
    """An estimator, and the values of its own parameter that are searched."""

    title: str
    draw: Draw
    parameter: str = ""
    values: tuple[float, ...] = (0.0,)


def _imle(noise: estimators.Gumbel | estimators.SumOfGamma) -> Draw:
    """λ is meant for the gradient of one image's loss; the loss is the mean over a batch."""

    def draw(logits: Tensor, k: int, value: float, generator: Generator) -> Tensor:
        return estimators.imle(logits, k, lambda_=value * len(logits), noise=noise, rng=generator)

    return draw


def _simple(logits: Tensor, k: int, value: float, generator: Generator) -> Tensor:
    return ksubset.rsample(logits, k, rng=generator)


def _straight_through(logits: Tensor, k: int, value: float, generator: Generator) -> Tensor:
    return estimators.gumbel_topk_st(logits, k, tau=value, rng=generator)


METHODS = {
    "simple": Method("SIMPLE", _simple),
    "imle-gamma": Method("I-MLE, sum of gamma", _imle(estimators.SumOfGamma()), "λ", (0.1, 1.0, 10.0)),
    "imle-gumbel": Method("I-MLE, Gumbel", _imle(estimators.Gumbel()), "λ", (0.1, 1.0, 10.0)),
    "st-gumbel": Method("ST Gumbel-softmax", _straight_through, "τ", (0.25, 0.5, 1.0)),
}
MODELS = {10: ("simple", "imle-gamma", "imle-gumbel"), 1: ("simple", "st-gumbel")}
"""The methods that are compared at each k."""


class Autoencoder(nn.Module):
    """Encoder 784-512-256-20×20, decoder 400-256-512-784, with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _perceptron(PIXELS, 512, 256, ROWS * ITEMS)
        self.decoder = _perceptron(ROWS * ITEMS, 256, 512, PIXELS)

    def logits(self, images: Tensor) -> Tensor:
        """(images, rows, items)."""
        return self.encoder(images).unflatten(-1, (ROWS, ITEMS))

    def pixels(self, subsets: Tensor) -> Tensor:
        """The logits of the pixels, (images, 784)."""
        return self.decoder(subsets.flatten(-2))


def negative_elbo(model: Autoencoder, images: Tensor, k: int, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean over images, from one sample of each; unbiased where ``draw`` is exact."""
    logits = model.logits(images)
    reconstruction = binary_cross_entropy_with_logits(model.pixels(draw(logits)), images, reduction="sum")
    divergence = ksubset.kl_to_uniform(logits, k).sum()
    return (reconstruction + divergence) / len(images)


@torch.no_grad()
def evaluate(model: Autoencoder, images: Tensor, k: int, draw: Callable[[Tensor], Tensor]) -> float:
    """The mean over all images."""
    parts = [len(part) * negative_elbo(model, part, k, draw).item() for part in images.split(1000)]
    return sum(parts) / len(images)


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
