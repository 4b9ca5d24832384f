"""Every gradient estimator of the library, as a function from identical rows of logits to one gradient for each row."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ksubset import estimators
from ksubset.estimators import AIMLEState, Gumbel, SumOfGamma

Loss = Callable[[Tensor], Tensor]
"""From subsets (..., n), or relaxed ones, to their losses (...)."""

Estimator = Callable[[Loss, Tensor, int, torch.Generator], Tensor]
"""From a loss, rows of logits, k and random numbers to gradients of the shape of the rows."""

TEMPERATURES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEPS = (0.5, 1.0, 2.5, 10.0)
"""λ; the official notebook takes 2.5."""

SEVERAL = (2, 10)
ADAPTATION = {"steps": 300, "rows": 100, "eta": 0.005}


def sampled(method: Callable[..., Tensor], *, draws: int = 1) -> Estimator:
    """The gradient of the mean loss of samples through which a gradient passes."""

    def estimate(loss: Loss, rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
        z = method(rows, k, rng=generator, sample_shape=(draws,))
        return torch.autograd.grad(loss(z).mean(0).sum(), rows)[0]

    return estimate


def evaluated(method: Callable[..., Tensor], *, draws: int = 1) -> Estimator:
    """The gradient of a mean loss that the method itself evaluates."""

    def estimate(loss: Loss, rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
        return torch.autograd.grad(method(loss, rows, k, S=draws, rng=generator).sum(), rows)[0]

    return estimate


def log_sigmoid_softsub(rows: Tensor, k: int, **options: object) -> Tensor:
    """SoftSub as the official notebook calls it: on log σ(θ), with temperature 2."""
    return estimators.softsub(torch.nn.functional.logsigmoid(rows), k, t=2.0, **options)


def adaptive(noise: Gumbel | SumOfGamma) -> Estimator:
    """AIMLE with a state that was adapted to the same problem beforehand, and is frozen then."""

    def estimate(loss: Loss, rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
        few, state = rows[: ADAPTATION["rows"]], AIMLEState.start(torch.zeros((), dtype=rows.dtype))
        for _ in range(ADAPTATION["steps"]):
            beta = state.beta.requires_grad_()
            z = estimators.aimle(few, k, beta, noise=noise, rng=generator)
            state = state.update(torch.autograd.grad(loss(z).sum(), beta)[0], eta=ADAPTATION["eta"])
        return sampled(partial(estimators.aimle, beta=state.beta, noise=noise))(loss, rows, k, generator)

    return estimate


def constant(loss: Loss, rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """The loss's gradient in the centre of the cube's slice, less its mean: neither logits nor samples enter."""
    centre = torch.full_like(rows, k / rows.shape[-1]).requires_grad_()
    slope = torch.autograd.grad(loss(centre).sum(), centre)[0]
    return slope - slope.mean(-1, keepdim=True)


def straight_through(temperatures: tuple[float, ...] = TEMPERATURES) -> dict[str, Estimator]:
    """Gumbel top-k; at k = 1 the straight-through Gumbel-softmax."""
    return {f"top-k ST, τ = {t}": sampled(partial(estimators.gumbel_topk_st, tau=t)) for t in temperatures}


def finite_differences() -> dict[str, Estimator]:
    """Those with a step λ."""
    both = {"sum of gamma": SumOfGamma(), "Gumbel": Gumbel()}
    exact = {f"SIMPLE-F, λ = {step}": sampled(partial(estimators.simple_f, lambda_=step)) for step in STEPS}
    return exact | {
        f"I-MLE, {name}, λ = {step}": sampled(partial(estimators.imle, lambda_=step, noise=noise))
        for name, noise in both.items()
        for step in STEPS
    }


def relaxations() -> dict[str, Estimator]:
    """Those whose samples are not subsets."""
    softsub = {f"SoftSub, t = {t}": sampled(partial(estimators.softsub, t=t)) for t in TEMPERATURES}
    l2x = {f"L2X, τ = {t}": sampled(partial(estimators.l2x, tau=t)) for t in TEMPERATURES}
    return softsub | {"SoftSub of log σ(θ), t = 2": sampled(log_sigmoid_softsub)} | l2x


def averages() -> dict[str, Estimator]:
    """Those of several samples."""
    methods = {
        "SIMPLE": partial(sampled, estimators.simple),
        "score function, leave-one-out": partial(evaluated, estimators.score_function),
        "unbiased SIMPLE": partial(evaluated, estimators.simple_unbiased),
    }
    return {f"{name}, {draws} samples": make(draws=draws) for draws in SEVERAL for name, make in methods.items()}


def everything() -> dict[str, Estimator]:
    """All of them."""
    return {
        "SIMPLE": sampled(estimators.simple),
        "SIMPLE-B": sampled(estimators.simple_b),
        "SIMPLE-B, Gumbel": sampled(partial(estimators.simple_b, noise=Gumbel())),
        "SIMPLE-B, λ = 2.5": sampled(partial(estimators.simple_b, lambda_=2.5)),
        **finite_differences(),
        "AIMLE, sum of gamma": adaptive(SumOfGamma()),
        "AIMLE, Gumbel": adaptive(Gumbel()),
        **relaxations(),
        **straight_through(),
        "score function": evaluated(estimators.score_function),
        "unbiased SIMPLE": evaluated(estimators.simple_unbiased),
        **averages(),
        "constant": constant,
    }
