"""Adaptive implicit maximum likelihood estimation."""

from typing import Any, NamedTuple

from array_api_compat import array_namespace

from ksubset._call.argument_checks import check_framework, checked_shape
from ksubset._call.prepare import problem_of_size
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array, T
from ksubset._law.derivatives import finite
from ksubset.backends import find
from ksubset.estimators._noise import SUM_OF_GAMMA, Noise, check_noise
from ksubset.estimators._surrogate import check_count, frozen, perturbed, top, with_pullback


class AIMLEState(NamedTuple):
    """The state that `aimle` adapts, as an explicit value: a JAX pytree, a tuple of tensors in torch.

    Attributes
    ----------
    beta : array, shape ()
        The perturbation magnitude β ≥ 0.
    count : array, shape ()
        The running mean of the number of non-zero entries of a gradient.
    """

    beta: Array
    count: Array

    @classmethod
    def start(cls, beta: Array) -> "AIMLEState":
        """The state before the first step: the authors start at β = 0, from which it grows."""
        return cls(beta, array_namespace(beta).ones_like(find(beta, "beta").ops(beta).stop_gradient(beta)))

    def update(self, count: Array, *, c: float = 1.0, eta: float = 1e-3, decay: float = 0.9) -> "AIMLEState":
        """β grows by η while gradients have fewer than c non-zero entries in the mean, else it shrinks.

        Parameters
        ----------
        count : array, shape ()
            The number that `aimle` reports instead of the gradient with respect to β.
        c, eta, decay : float
            The number of non-zero entries to aim at, the step, and the weight of the past in the mean.
        """
        xp, constant = array_namespace(self.beta), find(self.beta, "beta").ops(self.beta).stop_gradient
        running, beta = constant(decay * self.count + (1 - decay) * count), constant(self.beta)
        beta = xp.clip(xp.where(running < c, beta + eta, beta - eta), 0.0, None)
        return AIMLEState(xp.asarray(beta), xp.asarray(running))  # NumPy makes scalars of arrays without dimensions


def aimle(
    logits: T,
    k: int | Array,
    beta: Array,
    *,
    noise: Noise = SUM_OF_GAMMA,
    S: int = 1,
    symmetric: bool = False,
    rng: object = None,
    sample_shape: tuple[int, ...] = (),
    max_k: int | None = None,
    validate: bool | None = None,
) -> T:
    r"""AIMLE: `imle` whose step follows the scale of logits and gradient, and the share of gradients that vanish.

    .. math:: \lambda = \beta \, \frac{\lVert\theta\rVert}{\lVert g\rVert}, \qquad g = \nabla_z \ell(z)

    The gradient is computed as in `imle` with this λ for each row; it is 0 where β, θ or g is 0. The **gradient with
    respect to** β is not the gradient of the loss: it is the mean number of non-zero entries of a row's gradient, from
    which `AIMLEState.update` makes the next β. So the state goes in as an argument and comes out by differentiation,
    under any transformation. Bias and variance as in `imle`: the adaptation takes the least λ, and so the least bias,
    whose gradients are not yet mostly 0.

    Parameters
    ----------
    logits : array, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int or integer array
        Size of the subsets, in [0, n]; an array broadcasts to the batch shape (...).
    beta : array, shape ()
        The magnitude β ≥ 0, in the dtype of ``logits``; in torch it must require a gradient to report the count.
    noise : Gumbel or SumOfGamma, optional
        The law of ε, by default `SumOfGamma` with κ = k.
    S : int, optional
        The number of perturbations that each gradient averages; the first of them makes the sample.
    symmetric : bool
        Whether the finite difference is central, between θ + λg and θ − λg.
    rng : generator, key or int, optional
        The framework's own source of randomness: a `numpy.random.Generator`, `torch.Generator`, `cupy.random.Generator`
        or JAX key. An int seeds one. None takes torch's global generator, a fresh generator in NumPy and CuPy, and is
        an error in JAX.
    sample_shape : tuple of int, optional
        Shape of the draws from each row, which share all work that depends on the logits alone.
    max_k : int, optional
        An upper bound on a traced ``k``, whose values cannot be read; by default n. A smaller bound is faster.
    validate : bool, optional
        Whether the values of arrays are checked. By default they are where they can be read at no cost: eager, on a
        CPU. Elsewhere a bad row yields NaN in that row alone.

    Returns
    -------
    array, shape sample_shape + (..., n)
        0 and 1 in the dtype of ``logits``; every row sums to k.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset; also
        if ``beta`` has dimensions, or ``S`` is less than 1.

    References
    ----------
    Minervini, Franceschi and Niepert, "Adaptive Perturbation-Based Gradient Estimation for Discrete Latent Variable
    Models", AAAI 2023, eq. 8 and Algorithm 1, which take one row; a batch has a λ for each row here, where the authors'
    code takes one for all.

    Examples
    --------
    >>> import numpy as np
    >>> from ksubset import estimators
    >>> state = estimators.AIMLEState.start(np.asarray(0.0))
    >>> estimators.aimle(np.array([99.0, 0.0, 99.0, -99.0]), 2, state.beta, rng=0)
    array([1., 0., 1., 0.])

    One step of training, with torch:

    >>> import torch
    >>> logits = torch.tensor([2.0, 1.0, 0.0, -1.0], requires_grad=True)
    >>> cost = torch.tensor([3.0, 1.0, 4.0, 1.0])
    >>> state = estimators.AIMLEState.start(torch.tensor(0.0))
    >>> loss = estimators.aimle(logits, 2, state.beta.requires_grad_()) @ cost
    >>> grad, count = torch.autograd.grad(loss, (logits, state.beta))
    >>> state = state.update(count)
    >>> state.beta  # grows while gradients vanish
    tensor(0.0010)
    """
    check_noise(noise)
    total = check_count(S, "S")
    problem, draws = problem_of_size(logits, k, max_k, validate), checked_shape(sample_shape)
    _check_beta(problem, beta)
    epsilon = noise.draw(problem, rng, (total, *draws, *problem.logits.shape))

    def pullback(g: Array, problem: Problem, beta: Array, epsilon: Array) -> tuple[Array, Array]:
        xp, theta = problem.xp, problem.logits
        size, slope = _norm(xp, finite(xp, theta)), _norm(xp, g)
        step = xp.where(slope > 0, beta * size / xp.where(slope > 0, slope, xp.ones_like(slope)), xp.zeros_like(slope))
        before = top(problem, theta + step * g + epsilon if symmetric else theta + epsilon)
        change = before - top(problem, theta - step * g + epsilon)
        count = xp.sum(xp.astype(change != 0, change.dtype), axis=-1)
        width = xp.where(step > 0, step, xp.ones_like(step)) * (2 if symmetric else 1)
        return xp.mean(change, axis=0) / width, xp.mean(count)

    return with_pullback(problem, top(problem, perturbed(frozen(problem), epsilon[0, ...])), pullback, beta, epsilon)


def _norm(xp: Any, x: Array) -> Array:
    """The Euclidean norm of each row, as a column."""
    return xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))


def _check_beta(problem: Problem, beta: Array) -> None:
    check_framework(beta, "beta", problem.logits, problem.backend)
    if tuple(beta.shape) != ():
        raise ValueError(f"beta must have shape (); got {tuple(beta.shape)}")
