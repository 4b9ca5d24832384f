"""Forward mode, first order, against enumeration."""

from typing import Any

import numpy as np
import pytest
from capabilities import needs
from conftest import Target
from derivatives import DIRECTIONS, LOGITS, ROWS, SCALARS, SIZES, gradient
from transforms import Transforms

import ksubset

pytestmark = needs("forward mode")


def along(target: Target, diff: Transforms, function: Any) -> np.ndarray:
    return target.to_numpy(diff.jvp(function, (target.array(LOGITS),), (target.array(DIRECTIONS),))[1])


@pytest.mark.parametrize("name", SCALARS)
def test_functions_of_a_row(target: Target, diff: Transforms, name: str) -> None:
    k = target.array(SIZES)
    expected = np.array([gradient(name, row) @ row.v for row in ROWS])
    np.testing.assert_allclose(along(target, diff, lambda x: SCALARS[name](x, k)), expected, rtol=1e-11, atol=1e-10)


def test_marginals_and_rsample(target: Target, diff: Transforms) -> None:
    k = target.array(SIZES)
    expected = np.stack([row.truth.covariance @ row.v for row in ROWS])
    for function in (lambda x: ksubset.marginals(x, k), lambda x: ksubset.rsample(x, k, rng=target.rng(0))):
        np.testing.assert_allclose(along(target, diff, function), expected, rtol=1e-11, atol=1e-12)


def test_marginals_jvp(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    v = rng.normal(size=LOGITS.shape)
    k, tangent = target.array(SIZES), target.array(v)
    found = along(target, diff, lambda x: ksubset.marginals_jvp(x, k, tangent))
    expected = np.stack([row.truth.third_cumulant @ row.v @ w for row, w in zip(ROWS, v, strict=True)])
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_two_arguments(target: Target, diff: Transforms, rng: np.random.Generator) -> None:
    row, other = ROWS[13], rng.normal(size=7)
    x, y, v = target.array(row.logits), target.array(other), target.array(row.v)

    def divergence(x: Any, y: Any) -> Any:
        return ksubset.kl_divergence(x, y, row.k)

    both = float(diff.jvp(divergence, (x, y), (v, v))[1])
    gradients = [target.to_numpy(diff.grad(divergence, i)(x, y)) @ row.v for i in (0, 1)]
    assert both == pytest.approx(sum(gradients), abs=1e-12)


@pytest.mark.parametrize("fast", ["0", "1"])
@pytest.mark.parametrize("draws", [(), (2,), (2, 3)])
def test_every_sample_has_the_tangent_of_its_row(
    target: Target, diff: Transforms, draws: tuple[int, ...], fast: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSUBSET_FAST", fast)
    x, v = target.array(LOGITS[12:15]), target.array(DIRECTIONS[:3])

    def sample(x: Any) -> Any:
        return ksubset.rsample(x, 3, rng=target.rng(0), sample_shape=draws)

    expected = target.to_numpy(ksubset.marginals_jvp(x, 3, v)) + np.zeros((*draws, 3, 7))
    np.testing.assert_allclose(target.to_numpy(diff.jvp(sample, (x,), (v,))[1]), expected, atol=1e-13)
    if target.backend == "torch":
        import torch.autograd.forward_ad as forward

        with forward.dual_level():
            found = forward.unpack_dual(sample(forward.make_dual(x, v))).tangent
        np.testing.assert_allclose(target.to_numpy(found), expected, atol=1e-13)
