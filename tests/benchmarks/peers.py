"""What people use in place of `ksubset`, written from the formulas as a good user of torch would."""

from collections.abc import Callable

import torch
from torch import Tensor

SENTINEL = -300.0


def exponential_noise(like: Tensor) -> Tensor:
    """Gumbel noise as −log E, the way `torch.nn.functional.gumbel_softmax` draws it."""
    return torch.empty_like(like, requires_grad=False).exponential_().log_().neg_()


def uniform_noise(like: Tensor) -> Tensor:
    """Gumbel noise as −log(−log U): on a CPU in half the time, with a coarser upper tail."""
    return torch.rand_like(like, requires_grad=False).log_().neg_().log_().neg_()


def gumbel_straight_through(logits: Tensor, k: int, noise: Callable[[Tensor], Tensor] = exponential_noise) -> Tensor:
    """Gumbel top-k: the k largest of θ + Gumbel noise forward, the gradient of k · softmax(θ + noise) backward."""
    noisy = logits + noise(logits)
    soft = k * torch.softmax(noisy, -1)
    return _top(noisy.detach(), k).sub_(soft.detach()) + soft


def gumbel_top_k(logits: Tensor, k: int) -> Tensor:
    """The same without a gradient."""
    return _top(logits + exponential_noise(logits), k)


def softsub(logits: Tensor, k: int, temperature: float = 0.5) -> Tensor:
    """The relaxed subset of Xie and Ermon (2019): k softmaxes, each of which turns down what those before it chose."""
    scores = logits + exponential_noise(logits)
    soft = torch.softmax(scores / temperature, -1)
    total = soft
    for _ in range(k - 1):
        scores = scores + (1 - soft).clamp_min(1e-7).log()
        soft = torch.softmax(scores / temperature, -1)
        total = total + soft
    return total


def log_space_marginals(logits: Tensor, k: int) -> Tensor:
    """The recursion people write by hand: logaddexp over items, marginals as the gradient of log e_k.

    Counts out of reach have a logarithm of −1e30: with −∞, logaddexp has the gradient NaN.
    """
    x = logits.detach().clone().requires_grad_()
    table = torch.full((*x.shape[:-1], k + 1), -1e30, dtype=x.dtype)
    table[..., 0] = 0
    for item in x.unbind(-1):
        shifted = torch.nn.functional.pad(table[..., :-1], (1, 0), value=-1e30)
        table = torch.logaddexp(table, shifted + item[..., None])
    return torch.autograd.grad(table[..., k].sum(), x)[0]


def dynamic_programme(logits: Tensor, k: int) -> Tensor:
    """The log-space table of published routers: ancestral samples forward, marginals as a probe's gradient backward.

    A sentinel stands for −∞, of which neither logaddexp nor its gradient makes sense.
    """
    chosen = torch.nn.functional.logsigmoid(logits).clamp(max=-1e-7)
    left_out, probe = _log1mexp(chosen), torch.zeros_like(logits, requires_grad=True)
    table = _table(chosen + probe, left_out, k)
    (mean,) = torch.autograd.grad(table[:, -1, k + 1].sum(), probe, create_graph=True)
    with torch.no_grad():
        subset = _ancestral(chosen, table, k)
    return (subset - mean).detach() + mean


def _table(chosen: Tensor, left_out: Tensor, k: int) -> Tensor:
    """log P(j of the first i items are chosen), (rows, n + 1, k + 2); the first column is a border."""
    rows, n = chosen.shape
    border = torch.full((rows, 1), SENTINEL, device=chosen.device, dtype=chosen.dtype)
    row = torch.cat([border, torch.zeros_like(border), border.expand(-1, k)], 1)
    table = [row]
    for i in range(n):
        taken, skipped = row[:, :-1] + chosen[:, i : i + 1], row[:, 1:] + left_out[:, i : i + 1]
        row = torch.cat([border, _log_add(taken, skipped)], 1)
        table.append(row)
    return torch.stack(table, 1)


def _ancestral(chosen: Tensor, table: Tensor, k: int) -> Tensor:
    """From the last item to the first, each given how many are still to be chosen."""
    rows, n = chosen.shape
    at, left, picks = torch.arange(rows, device=chosen.device), torch.full((rows,), k, device=chosen.device), []
    for i in range(n, 0, -1):
        log_p = table[at, i - 1, left] + chosen[:, i - 1] - table[at, i, left + 1]
        odds = log_p - _log1mexp(log_p)
        pick = torch.bernoulli(torch.sigmoid(odds).nan_to_num(0, 1, 0)) * (left > 0)
        left = left - (pick > 0).long()
        picks.append(pick)
    return torch.stack(picks[::-1], 1)


def _log1mexp(x: Tensor) -> Tensor:
    x = -x.abs()
    return torch.where(x > -0.6931471805599453, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


def _log_add(x: Tensor, y: Tensor) -> Tensor:
    apart = torch.where(x == y, torch.zeros_like(x), x - y)
    return torch.maximum(x, y) + torch.nn.functional.softplus(-apart.abs())


def _top(scores: Tensor, k: int) -> Tensor:
    return torch.zeros_like(scores).scatter_(-1, scores.topk(k, sorted=False).indices, 1)
