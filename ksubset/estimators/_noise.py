"""The noise of perturb-and-MAP samples."""

from dataclasses import dataclass
from math import log
from typing import TypeAlias

from ksubset._call.problem import Problem
from ksubset._engine.arrays import constant
from ksubset._engine.ops import Array
from ksubset.estimators._surrogate import check_count, check_positive, ops


def gumbel(problem: Problem, rng: object, shape: tuple[int, ...]) -> Array:
    """Standard Gumbel variates, −log of exponential ones, both tails resolved as finely as uniforms near 0 are."""
    xp, u = problem.xp, problem.backend.uniforms(rng, shape, problem.logits)
    least = float(xp.finfo(u.dtype).smallest_normal)
    falling = -xp.log(xp.clip(u, least, None))
    return -xp.log(xp.clip(xp.where(u < 0, -xp.log1p(xp.clip(u, None, 0.0)), falling), least, None))


@dataclass(frozen=True)
class Gumbel:
    """Gumbel noise of location 0 and scale τ.

    Parameters
    ----------
    tau : float
        The temperature τ > 0.

    References
    ----------
    Papandreou and Yuille, "Perturb-and-MAP Random Fields", ICCV 2011.
    """

    tau: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.tau, "tau")

    def draw(self, problem: Problem, rng: object, shape: tuple[int, ...]) -> Array:
        """An array of this shape."""
        return self.tau * gumbel(problem, rng, shape)


@dataclass(frozen=True)
class SumOfGamma:
    r"""Sum-of-gamma noise: k of its variates add up to a Gumbel variate as s grows.

    .. math:: \epsilon = \frac{\tau}{\kappa} \Bigl(\sum_{i=1}^{s} \mathrm{Gamma}(1/\kappa, \kappa/i) - \log s\Bigr)

    with shape 1/κ and scale κ/i. Its mean is τ (H_s − log s)/κ, its variance τ² Σ i⁻²/κ.

    Parameters
    ----------
    kappa : float, optional
        κ > 0; by default k, which must then be one int.
    s : int
        The number of terms.
    tau : float
        The temperature τ > 0.

    References
    ----------
    Niepert, Minervini and Franceschi, "Implicit MLE: Backpropagating Through Discrete Exponential Family
    Distributions", NeurIPS 2021, where κ is written k.
    """

    kappa: float | None = None
    s: int = 10
    tau: float = 1.0

    def __post_init__(self) -> None:
        if self.kappa is not None:
            check_positive(self.kappa, "kappa")
        check_count(self.s, "s")
        check_positive(self.tau, "tau")

    def draw(self, problem: Problem, rng: object, shape: tuple[int, ...]) -> Array:
        """An array of this shape."""
        kappa = self._kappa(problem)
        terms = problem.backend.gammas(rng, 1 / kappa, (*shape, self.s), problem.logits)
        scales = constant(ops(problem), [kappa / (i + 1) for i in range(self.s)], terms)
        scales = problem.xp.broadcast_to(scales, terms.shape)
        return (problem.xp.sum(terms * scales, axis=-1) - log(self.s)) * (self.tau / kappa)

    def _kappa(self, problem: Problem) -> float:
        if self.kappa is not None:
            return float(self.kappa)
        if not isinstance(problem.k, int):
            raise ValueError("kappa must be given in noise=SumOfGamma(kappa=...) where k is an array")
        return float(max(problem.k, 1))


Noise: TypeAlias = Gumbel | SumOfGamma

SUM_OF_GAMMA = SumOfGamma()
"""The noise unless another is asked for."""


def check_noise(noise: object) -> None:
    """One of the two."""
    if not isinstance(noise, Noise):
        raise TypeError(f"noise must be Gumbel(...) or SumOfGamma(...); got {type(noise).__name__}")
