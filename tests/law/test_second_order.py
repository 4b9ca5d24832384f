"""Second and third order, by all orders of the modes, against enumeration; exactly 0 where an item is decided."""

import itertools
from typing import Any

import numpy as np
import pytest
from capabilities import needs
from conftest import Target
from derivatives import LOGITS, ROWS, SCALARS, SIZES, hessian
from potentials import Potential
from transforms import Transforms

import ksubset

pytestmark = needs("second derivatives")


@pytest.mark.parametrize("name", SCALARS)
def test_hessian_of_every_row(target: Target, diff: Transforms, name: str) -> None:
    """All rows in one go: the derivative of the sum of gradients along each unit vector is a column of each hessian."""
    k, x = target.array(SIZES), target.array(LOGITS)
    slope = diff.grad(lambda x: SCALARS[name](x, k).sum())
    expected = np.stack([hessian(name, row) for row in ROWS])
    for i, unit in enumerate(np.eye(LOGITS.shape[1])):
        direction = target.array(np.tile(unit, (len(ROWS), 1)))
        forward = target.to_numpy(diff.jvp(slope, (x,), (direction,))[1])
        backward = target.to_numpy(diff.grad(lambda x, d=direction: (slope(x) * d).sum())(x))
        for found in (forward, backward):
            scale = np.abs(expected).max(axis=(1, 2), keepdims=True)[:, 0] + 1e-3
            np.testing.assert_allclose(found / scale, expected[:, i] / scale, atol=1e-10)
            assert (found[np.isinf(LOGITS)] == 0).all() or name == "log_normalizer"


def test_sizes_that_leave_no_choice_in_single_precision(target: Target, diff: Transforms) -> None:
    """J is 0 there, and so is its derivative: nothing overflows beside the other sizes."""
    theta, v = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, -2.0, 0.5, 1.5])
    weights = np.where(np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1]]), 0.0, -np.inf)
    expected = np.stack([Potential(theta, w).third_cumulant[:4, :4, :4] @ v @ v for w in weights])
    x, v, w = (target.array(y, "float32") for y in (np.tile(theta, (4, 1)), np.tile(v, (4, 1)), weights))
    sizes = target.array([0, 4, 0, 4])
    for k, exact in ((ksubset.Cardinality(w), expected), (sizes, np.zeros((4, 4)))):
        found = diff.jvp(lambda x, k=k: ksubset.marginals_jvp(x, k, v), (x,), (v,))[1]
        np.testing.assert_allclose(target.to_numpy(found), exact, atol=1e-5)


def test_hessian_transformation(target: Target, diff: Transforms) -> None:
    row = ROWS[13]
    found = diff.hessian(lambda x: ksubset.entropy(x, row.k))(target.array(row.logits))
    np.testing.assert_allclose(target.to_numpy(found), hessian("entropy", row), atol=1e-12)


@pytest.mark.parametrize("modes", list(itertools.product(("jacfwd", "jacrev"), repeat=2)), ids="-".join)
def test_second_derivative_of_marginals(target: Target, diff: Transforms, modes: tuple[str, str]) -> None:
    row = ROWS[13]

    def function(x: Any) -> Any:
        return ksubset.marginals(x, row.k)

    for mode in modes:
        function = getattr(diff, mode)(function)
    np.testing.assert_allclose(
        target.to_numpy(function(target.array(row.logits))), row.truth.third_cumulant, atol=1e-12
    )


@pytest.mark.parametrize("modes", list(itertools.product(("jacfwd", "jacrev"), repeat=3)), ids="-".join)
def test_third_derivative_of_the_normaliser(target: Target, diff: Transforms, modes: tuple[str, ...]) -> None:
    row = ROWS[13]

    def function(x: Any) -> Any:
        return ksubset.log_normalizer(x, row.k)

    for mode in modes:
        function = getattr(diff, mode)(function)
    np.testing.assert_allclose(
        target.to_numpy(function(target.array(row.logits))), row.truth.third_cumulant, atol=1e-12
    )
