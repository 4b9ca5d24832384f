"""Best subset regression as a differentiable loss of a mask."""

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

Subset = tuple[int, ...]


class Moments(NamedTuple):
    """X'X and X'y, where the columns of X and y are scaled to a sum of squares of 1."""

    gram: Tensor
    moment: Tensor


def weights(mask: Tensor, moments: Moments, alpha: float) -> Tensor:
    """The w that minimises ‖y − Xw‖² + α Σ w²/mask, (..., n); 0 where the mask is."""
    gram, moment = moments
    matrix = alpha * torch.eye(len(gram), dtype=gram.dtype) + mask[..., :, None] * gram
    return torch.linalg.solve(matrix, (mask * moment)[..., None])[..., 0]


def loss(mask: Tensor, moments: Moments, alpha: float) -> Tensor:
    """min over w of ‖y − Xw‖² + α Σ w²/mask, (...).

    By the envelope theorem its gradient is −(x'(y − Xw))²/α for the column x of an entry, chosen or not. The loss is
    convex in the mask: Bertsimas and Van Parys, "Sparse High-Dimensional Regression: Exact Scalable Algorithms and
    Phase Transitions", Annals of Statistics 48, 2020.
    """
    return 1 - weights(mask, moments, alpha) @ moments.moment


def chain_rule_loss(mask: Tensor, moments: Moments, alpha: float) -> Tensor:
    """‖y − X(mask·w)‖², w held fixed while the mask changes: the remaining gradient is due to α alone."""
    masked = mask * weights(mask, moments, alpha).detach()
    return 1 - 2 * masked @ moments.moment + (masked * (masked @ moments.gram)).sum(-1)


def best(moments: Moments, k: int, alpha: float) -> Subset:
    """The subset of least loss, by enumeration."""
    subsets = torch.tensor(list(combinations(range(len(moments.moment)), k)))
    masks = torch.zeros((len(subsets), len(moments.moment)), dtype=moments.moment.dtype).scatter(1, subsets, 1.0)
    return tuple(subsets[loss(masks, moments, alpha).argmin()].tolist())
