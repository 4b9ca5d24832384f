"""AIMLE: its step, the count it reports, and the state that follows from it."""

from typing import Any

import numpy as np
import pytest
from conftest import Target
from estimated import COST, THETA, K, close, noise_of, top
from transforms import Transforms, differentiable

from ksubset.estimators import AIMLEState, Gumbel, aimle

BETA = 0.8


def both(target: Target, diff: Transforms, beta: float, scale: float = 1.0, **kwargs: Any) -> tuple[Any, Any]:
    """The gradients with respect to logits and β."""
    cost = target.array(scale * COST)

    def loss(x: Any, beta: Any) -> Any:
        return (aimle(x, K, beta, noise=Gumbel(), S=3, sample_shape=(6,), rng=target.rng(0), **kwargs) * cost).sum()

    x, b = target.array(THETA), target.array(np.array(beta))
    return diff.grad(loss, 0)(x, b), diff.grad(loss, 1)(x, b)


@differentiable
@pytest.mark.parametrize("symmetric", [False, True])
def test_against_its_definition(target: Target, diff: Transforms, symmetric: bool) -> None:
    step = BETA * np.linalg.norm(THETA) / np.linalg.norm(COST)
    perturbed = THETA + noise_of(target, Gumbel(), (3, 6, 5))
    first = top(perturbed + step * COST, K) if symmetric else top(perturbed, K)
    change = first - top(perturbed - step * COST, K)
    found, count = both(target, diff, BETA, symmetric=symmetric)
    close(found, change.mean(axis=0).sum(axis=0) / step / (2 if symmetric else 1), target)
    close(count, (change != 0).sum() / 18, target)


@differentiable
def test_the_scale_of_the_gradient_does_not_matter(target: Target, diff: Transforms) -> None:
    small, large = (both(target, diff, BETA, scale) for scale in (1e-3, 1e3))
    close(large[0] * 1e-6, target.to_numpy(small[0]), target, 1e-9)
    close(large[1], target.to_numpy(small[1]), target)


@differentiable
@pytest.mark.parametrize(("beta", "scale"), [(0.0, 1.0), (BETA, 0.0)])
def test_no_step_no_gradient(target: Target, diff: Transforms, beta: float, scale: float) -> None:
    for found in both(target, diff, beta, scale):
        assert (target.to_numpy(found) == 0).all()


def test_state(target: Target) -> None:
    """β rises while gradients vanish, falls when they do not, and never below 0."""
    state = AIMLEState.start(target.array(np.array(0.0)))
    close(state.count, 1.0, target)
    state = state.update(target.array(np.array(0.0)), eta=0.25, decay=0.5)
    close(state.beta, 0.25, target)
    close(state.count, 0.5, target)
    state = state.update(target.array(np.array(3.0)), eta=0.25, decay=0.5)
    close(state.count, 1.75, target)
    for _ in range(2):
        close(state.beta, 0.0, target)
        state = state.update(target.array(np.array(3.0)), eta=0.25)
    assert state.update(target.array(np.array(3.0)), c=9.0).beta > 0


@pytest.mark.backends("jax")
def test_a_training_step_under_jit(target: Target, diff: Transforms) -> None:
    cost = target.array(COST)

    def step(x: Any, state: AIMLEState, key: Any) -> tuple[Any, AIMLEState]:
        def loss(x: Any, beta: Any) -> Any:
            return (aimle(x, K, beta, rng=key, sample_shape=(8,)) * cost).mean()

        return diff.grad(loss)(x, state.beta), state.update(diff.grad(loss, 1)(x, state.beta))

    state = AIMLEState.start(target.array(np.array(1.0)))
    _, new = diff.compile(step)(target.array(THETA), state, target.rng(1))
    close(abs(new.beta - state.beta), 1e-3, target)


@pytest.mark.backends("torch")
def test_a_training_step_in_torch(target: Target) -> None:
    import torch

    state, x = AIMLEState.start(target.array(np.array(1.0))), target.array(THETA).requires_grad_()
    for _ in range(3):
        z = aimle(x, K, state.beta.requires_grad_(), rng=target.rng(1), sample_shape=(8,))
        _, count = torch.autograd.grad((z * target.array(COST)).mean(), (x, state.beta))
        state = state.update(count)
        assert not state.beta.requires_grad
