"""The formulas of the synthetic experiment and of sparse regression, without their data."""

from collections.abc import Callable
from itertools import combinations

import pytest

pytest.importorskip("torch", reason="the experiments are written in torch, which is absent")
import sparse_regression_loss
import synthetic_estimators
import synthetic_metrics
import torch

import ksubset
from ksubset import estimators

Pair = tuple[torch.Tensor, torch.Tensor]
ALPHA = 0.05


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Metrics


def test_metrics_count_a_gradient_of_zero_as_orthogonal() -> None:
    gradients = torch.tensor([[1.0, 0], [0, 1], [0, 0], [-1, 0]], dtype=torch.float64)  # the mean is (0, 1/4)
    found = synthetic_metrics.measure(gradients, torch.tensor([2.0, 0], dtype=torch.float64))
    expected = {"bias": 1, "variance": 3 / 4, "spread": 1 / 4, "error": 1, "error_sd": (2 / 3) ** 0.5, "zeros": 1 / 4}
    assert found._asdict() == pytest.approx(expected)


def test_metrics_see_the_direction_alone() -> None:
    exact = normal(6)
    lengths = torch.arange(1, 6, dtype=torch.float64)
    assert synthetic_metrics.measure(lengths[:, None] * exact, exact) == pytest.approx([0] * 6, abs=1e-12)


@pytest.mark.parametrize("draws", [1, 3])
def test_estimates_are_the_gradients_of_single_rows(draws: int) -> None:
    """For a linear loss SIMPLE is exact, so that every row must have the exact gradient, however many there are."""
    cost, rows = normal(6), normal(6, seed=1).expand(5, 6).clone().requires_grad_()
    estimate = synthetic_estimators.sampled(estimators.simple, draws=draws)
    found = estimate(lambda z: z @ cost, rows, 2, torch.Generator())
    torch.testing.assert_close(found, ksubset.marginals_jvp(rows.detach(), 2, cost.expand(5, 6)))


def test_the_constant_is_the_centred_gradient_of_a_linear_loss() -> None:
    cost, rows = normal(6), torch.zeros((2, 6), dtype=torch.float64)
    found = synthetic_estimators.constant(lambda z: z @ cost, rows, 2, None)
    torch.testing.assert_close(found, (cost - cost.mean()).expand(2, 6))


# The loss of a mask


@pytest.fixture
def regression() -> Pair:
    """Columns, of which the first, third and fourth make the target; sums of squares are 1."""
    columns = normal(40, 7)
    columns = columns / torch.linalg.vector_norm(columns, dim=0)
    target = columns[:, [0, 2, 3]] @ torch.tensor([1.0, -2, 0.5], dtype=torch.float64) + 0.05 * normal(40, seed=1)
    return columns, target / torch.linalg.vector_norm(target)


@pytest.fixture
def moments(regression: Pair) -> Pair:
    columns, target = regression
    return sparse_regression_loss.Moments(columns.T @ columns, columns.T @ target)


def test_loss_of_a_subset_is_ridge_regression(regression: Pair, moments: Pair) -> None:
    columns, target = regression
    for subset in combinations(range(7), 3):
        mask = torch.zeros(7, dtype=torch.float64)
        mask[list(subset)] = 1
        stacked = torch.cat([columns[:, subset], ALPHA**0.5 * torch.eye(3, dtype=torch.float64)])
        goal = torch.cat([target, torch.zeros(3, dtype=torch.float64)])
        w = torch.linalg.lstsq(stacked, goal[:, None]).solution[:, 0]
        expected = ((stacked @ w - goal) ** 2).sum()
        torch.testing.assert_close(sparse_regression_loss.loss(mask, moments, ALPHA), expected)


def test_gradient_of_the_loss_is_that_of_the_envelope(regression: Pair, moments: Pair) -> None:
    columns, target = regression
    script, mask = sparse_regression_loss, torch.tensor([0, 1, 0.3, 0, 1, 0, 1], dtype=torch.float64)
    found = torch.autograd.functional.jacobian(lambda z: script.loss(z, moments, ALPHA), mask)
    residual = target - columns @ script.weights(mask, moments, ALPHA)
    torch.testing.assert_close(found, -((columns.T @ residual) ** 2) / ALPHA)
    assert torch.autograd.gradcheck(lambda z: script.loss(z, moments, ALPHA), mask.requires_grad_())


def test_gradient_by_the_chain_rule_vanishes_with_the_penalty(moments: Pair) -> None:
    script, mask = sparse_regression_loss, torch.tensor([0, 1.0, 0, 0, 1, 0, 1], dtype=torch.float64)

    def steepest(objective: Callable[..., torch.Tensor], alpha: float) -> float:
        return float(torch.autograd.functional.jacobian(lambda z: objective(z, moments, alpha), mask).abs().max())

    assert steepest(script.chain_rule_loss, 1e-9) < 1e-8
    assert steepest(script.loss, 1e-9) > 1


def test_best_subset_is_the_one_that_made_the_target(moments: Pair) -> None:
    assert sparse_regression_loss.best(moments, 3, 0.001) == (0, 2, 3)
