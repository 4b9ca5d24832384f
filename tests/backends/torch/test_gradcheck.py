"""Derivatives against differences, as torch checks them."""

from typing import Any

import pytest
from conftest import Target
from derivatives import DIRECTIONS, LOGITS

import ksubset

pytestmark = pytest.mark.backends("torch")
X = LOGITS[12:17]
projected = pytest.mark.parametrize("fast", [True, pytest.param(False, marks=pytest.mark.slow)])
"""Large derivatives along random directions, with the same bounds; every entry takes half a minute."""


@pytest.mark.parametrize(
    "name", ["marginals", "log_normalizer", "log_prob_count", "entropy", "kl_to_uniform", "covariance"]
)
@projected
def test_gradcheck(target: Target, name: str, fast: bool) -> None:
    import torch

    rows = slice(1, 5, 3) if name == "covariance" else slice(5)  # whose square has many derivatives
    x, k = target.array(X[rows]).requires_grad_(), target.array([1, 2, 3, 4, 6][rows])

    def function(x: Any) -> Any:
        return getattr(ksubset, name)(x, k)

    assert torch.autograd.gradcheck(function, x, check_forward_ad=True, fast_mode=fast and name == "covariance")
    assert torch.autograd.gradgradcheck(function, x, fast_mode=fast)


@projected
def test_gradcheck_of_two_arguments(target: Target, fast: bool) -> None:
    import torch

    x, v = (target.array(rows[:2]).requires_grad_() for rows in (X, DIRECTIONS))
    for function in (lambda x, v: ksubset.marginals_jvp(x, 3, v), lambda x, v: ksubset.kl_divergence(x, v, 3)):
        assert torch.autograd.gradcheck(function, (x, v), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(function, (x, v), fast_mode=fast)
