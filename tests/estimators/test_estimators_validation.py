"""Bad input to estimators: one clear error each, naming the argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target

from ksubset.estimators import (
    Gumbel,
    SumOfGamma,
    aimle,
    exact_gradient,
    gumbel_topk_st,
    imle,
    l2x,
    score_function,
    simple_b,
    simple_f,
    simple_unbiased,
    softsub,
)

Call = Callable[[Target], Any]


def good(t: Target) -> Any:
    return t.array(np.array([0.5, 1.0, -2.0, 0.0]))


def many(t: Target) -> Any:
    return t.array(np.zeros((2, 4)))


def sums(z: Any) -> Any:
    return z[..., 0]


CASES: dict[str, tuple[Call, type[Exception], str]] = {
    "lambda_ zero": (lambda t: imle(good(t), 2, lambda_=0), ValueError, "lambda_ must be positive and finite; got 0"),
    "lambda_ NaN": (lambda t: simple_f(good(t), 2, lambda_=np.nan), ValueError, "lambda_ must be positive.*got nan"),
    "lambda_ infinite": (lambda t: simple_b(good(t), 2, lambda_=np.inf), ValueError, "lambda_ must be .*finite.*inf"),
    "lambda_ a string": (lambda t: imle(good(t), 2, lambda_="1"), TypeError, "lambda_ must be a number; got str"),
    "lambda_ a bool": (lambda t: imle(good(t), 2, lambda_=True), TypeError, "lambda_ must be a number; got bool"),
    "t negative": (lambda t: softsub(good(t), 2, t=-1.0), ValueError, "t must be positive and finite; got -1.0"),
    "tau None": (lambda t: l2x(good(t), 2, tau=None), TypeError, "tau must be a number; got NoneType"),
    "tau zero": (lambda t: gumbel_topk_st(good(t), 2, tau=0.0), ValueError, "tau must be positive.*got 0.0"),
    "S zero": (lambda t: imle(good(t), 2, lambda_=1, S=0), ValueError, "S must be at least 1; got 0"),
    "S a float": (lambda t: score_function(sums, good(t), 2, S=2.0), TypeError, "S must be an int; got float"),
    "noise a string": (
        lambda t: imle(good(t), 2, lambda_=1, noise="gumbel"),
        TypeError,
        "noise must be Gumbel.*got str",
    ),
    "noise a class": (lambda t: simple_b(good(t), 2, noise=Gumbel), TypeError, "noise must be Gumbel.*got type"),
    "scale of noise": (lambda t: Gumbel(0.0), ValueError, "tau must be positive and finite; got 0.0"),
    "terms of noise": (lambda t: SumOfGamma(s=0), ValueError, "s must be at least 1; got 0"),
    "kappa": (lambda t: SumOfGamma(kappa=-1.0), ValueError, "kappa must be positive and finite; got -1.0"),
    "kappa left out": (
        lambda t: imle(many(t), t.array(np.array([1, 2])), lambda_=1),
        ValueError,
        "kappa must be given .* where k is an array",
    ),
    "k an array": (lambda t: softsub(many(t), t.array(np.array([1, 2]))), TypeError, "k must be an int for softsub"),
    "k an array, enumerated": (
        lambda t: exact_gradient(sums, many(t), t.array(np.array([1, 2]))),
        TypeError,
        "k must be an int for exact_gradient",
    ),
    "k out of range": (lambda t: imle(good(t), 5, lambda_=1), ValueError, r"k must be in \[0, 4\].*got 5"),
    "logits at +inf": (
        lambda t: softsub(t.array(np.array([np.inf, 0.0])), 1, rng=0),
        ValueError,
        r"logits must not contain \+inf",
    ),
    "sample_shape an int": (lambda t: l2x(good(t), 2, sample_shape=3), TypeError, "sample_shape must be a tuple"),
    "too many subsets": (
        lambda t: exact_gradient(sums, good(t), 2, max_subsets=5),
        ValueError,
        r"max_subsets must be at least C\(4, 2\) = 6; got 5",
    ),
    "loss not a function": (lambda t: exact_gradient(3.0, good(t), 2), TypeError, "loss must be a function; got float"),
    "loss of another shape": (
        lambda t: score_function(lambda z: z, good(t), 2, S=3, rng=0),
        ValueError,
        r"loss must turn subsets \(3, 4\) into values of shape \(3,\); got \(3, 4\)",
    ),
    "loss a number": (
        lambda t: simple_unbiased(lambda z: 1.0, good(t), 2, rng=0),
        ValueError,
        r"loss must turn subsets \(1, 4\) into values of shape \(1,\); got \(\)",
    ),
    "beta a float": (lambda t: aimle(good(t), 2, 1.0), TypeError, "beta must be an array.*got float"),
    "beta with dimensions": (
        lambda t: aimle(good(t), 2, good(t)),
        ValueError,
        r"beta must have shape \(\); got \(4,\)",
    ),
    "rng of another kind": (lambda t: imle(good(t), 2, lambda_=1, rng="0"), TypeError, "rng must be .*got str"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(target: Target, case: str) -> None:
    call, kind, message = CASES[case]
    with pytest.raises(kind, match=message):
        call(target)
