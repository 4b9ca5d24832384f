"""The functions that a program may call, each with its truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ksubset
from ksubset import estimators
from programs import truth
from programs.truth import Row, Tensors

POTENTIALS = ("at_most", "at_least", "between", "weights", "shared weights")
SIZES = ("int", "array", "scalar")
WAYS = ("function", "KSubset", "KSubset after entropy", "distribution")


@dataclass(frozen=True)
class Call:
    """What a function of a program is given: arrays of a framework, k in any form, the companion, and how to draw."""

    name: str
    way: str
    distribution: Any
    logits: Any
    k: Any
    companion: Any
    rng: Any
    draws: int
    options: dict[str, Any]


def plain(call: Call) -> Any:
    """A function of the distribution, or the method that is the same."""
    second = () if call.companion is None else (call.companion,)
    if call.way == "function":
        if call.name == "kl_divergence":
            return ksubset.kl_divergence(call.logits, *second, call.k, **call.options)
        return getattr(ksubset, call.name)(call.logits, call.k, *second, **call.options)
    made = made_object(call)
    if call.name == "kl_divergence":
        second = (ksubset.KSubset(call.companion, call.k),)
    method = getattr(made, {"marginals": "mean"}.get(call.name, call.name))
    return method(*second) if callable(method) else method


def made_object(call: Call) -> Any:
    if call.way == "distribution":
        return call.distribution(call.logits, call.k)
    made = ksubset.KSubset(call.logits, call.k, **call.options)
    if call.way == "KSubset after entropy":
        made.entropy()
    return made


def draw(call: Call) -> Any:
    """``draws`` subsets of each row, (..., draws, n)."""
    if call.way == "distribution":
        z = call.distribution(call.logits, call.k)
        keyed = () if call.rng is None or isinstance(call.rng, int) else (call.rng,)
        return moved(getattr(z, call.name)(*keyed, (call.draws,)))
    settings = {"rng": call.rng, "sample_shape": (call.draws,)}
    if call.way == "function":
        return moved(getattr(ksubset, call.name)(call.logits, call.k, **settings, **call.options))
    return moved(getattr(made_object(call), call.name)(**settings))


def moved(z: Any) -> Any:
    """Draws behind the batch."""
    return permuted(z, (*range(1, z.ndim - 1), 0, z.ndim - 1))


def from_uniforms(call: Call) -> Any:
    u = call.companion
    u = permuted(u, (u.ndim - 2, *range(u.ndim - 2), u.ndim - 1))
    return moved(ksubset.sample_from_uniforms(call.logits, call.k, u, **call.options))


def permuted(x: Any, axes: tuple[int, ...]) -> Any:
    """In the words of torch or of JAX."""
    return x.permute(axes) if hasattr(x, "permute") else x.transpose(axes)


def estimator(name: str, **settings: Any) -> Callable[[Call], Any]:
    def of(call: Call) -> Any:
        function = getattr(estimators, name)
        return moved(function(call.logits, call.k, rng=call.rng, sample_shape=(call.draws,), **settings))

    return of


def with_loss(name: str) -> Callable[[Call], Any]:
    def of(call: Call) -> Any:
        rng = {} if name == "exact_gradient" else {"rng": call.rng}
        return getattr(estimators, name)(truth.loss, call.logits, call.k, **rng)

    return of


@dataclass(frozen=True)
class Function:
    """One function of the library.

    Attributes
    ----------
    call, tensors
        What computes it, and its truth.
    companion
        What its second array is: v, z, other, uniforms or nothing.
    order
        How many derivatives the truth has.
    ways, sizes
        How it may be called, and with what in the place of k.
    draws
        ``"law"`` if values are exact samples, ``"size"`` if they have k ones, ``"loss"`` if they are losses of subsets.
    image
        The derivative is J times something, and accurate in norm.
    weights
        It is differentiated with respect to log-weights too.
    """

    tensors: Callable[[Row], Tensors]
    call: Callable[[Call], Any] = plain
    companion: str = ""
    order: int = 2
    ways: tuple[str, ...] = WAYS[:1]
    sizes: tuple[str, ...] = SIZES + POTENTIALS
    draws: str = ""
    image: bool = False
    weights: bool = False


FUNCTIONS = {
    "log_normalizer": Function(truth.log_normalizer, ways=WAYS[:3], weights=True),
    "log_prob_count": Function(truth.log_prob_count, ways=WAYS[:3], weights=True),
    "entropy": Function(truth.entropy, ways=WAYS, image=True, weights=True),
    "kl_to_uniform": Function(truth.kl_to_uniform, ways=WAYS[:3], image=True),
    "log_prob": Function(truth.log_prob, companion="z", ways=WAYS),
    "kl_divergence": Function(truth.kl_divergence, companion="other", ways=WAYS[:2]),
    "marginals": Function(truth.marginals, ways=WAYS, image=True, weights=True),
    "variance": Function(truth.variance, order=1, ways=WAYS[1:]),
    "marginals_jvp": Function(truth.marginals_jvp, companion="v", order=1, ways=WAYS[:3]),
    "covariance": Function(truth.covariance, order=1, ways=WAYS[:3]),
    "mode": Function(truth.mode, order=0, ways=WAYS),
    "count_log_pmf": Function(
        truth.count_log_pmf, lambda call: ksubset.count_log_pmf(call.logits), order=1, sizes=("int",)
    ),
    "sample": Function(truth.drawn, draw, order=0, ways=WAYS, draws="law"),
    "rsample": Function(truth.drawn, draw, ways=WAYS, draws="law", image=True, weights=True),
    "sample_from_uniforms": Function(truth.drawn, from_uniforms, companion="uniforms", order=0, draws="law"),
    "simple_f": Function(truth.unknown, estimator("simple_f", lambda_=0.5), order=0, sizes=SIZES, draws="law"),
    "simple_b": Function(truth.drawn, estimator("simple_b"), order=1, sizes=("int",), draws="size", image=True),
    "gumbel_topk_st": Function(truth.unknown, estimator("gumbel_topk_st"), order=0, sizes=("int",), draws="size"),
    "imle": Function(truth.unknown, estimator("imle", lambda_=0.5), order=0, sizes=("int",), draws="size"),
    "exact_gradient": Function(truth.exact_gradient, with_loss("exact_gradient"), order=1, sizes=("int",)),
    "score_function": Function(truth.unknown, with_loss("score_function"), order=0, sizes=SIZES, draws="loss"),
}
"""By name."""
