"""Bias, variance and error of gradient estimates, by the angles between them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Metrics(NamedTuple):
    """Distances from 0 to 2: 1 − cosine, which is 1 where one of the vectors is 0.

    Attributes
    ----------
    bias : float
        Between the mean of the gradients and the exact one.
    variance : float
        Between a gradient and the mean of the gradients, averaged.
    spread : float
        The variance, in the usual sense, of the cosine of a gradient and their mean.
    error, error_sd : float
        Between a gradient and the exact one: average and standard deviation.
    zeros : float
        The share of gradients that are exactly 0.
    """

    bias: float
    variance: float
    spread: float
    error: float
    error_sd: float
    zeros: float


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Of the angle between vectors; 0 where one of them is 0."""
    lengths = torch.linalg.vector_norm(x, dim=-1) * torch.linalg.vector_norm(y, dim=-1)
    return torch.where(lengths > 0, (x * y).sum(-1) / torch.where(lengths > 0, lengths, 1.0), 0.0)


def measure(gradients: Tensor, exact: Tensor) -> Metrics:
    """What 10,000 gradients, one a row, are worth."""
    mean = gradients.mean(0)
    to_mean, to_exact = cosine(gradients, mean), cosine(gradients, exact)
    values = (
        1 - cosine(mean, exact),
        1 - to_mean.mean(),
        to_mean.var(),
        1 - to_exact.mean(),
        to_exact.std(),
        (gradients == 0).all(-1).double().mean(),
    )
    return Metrics(*map(float, values))
