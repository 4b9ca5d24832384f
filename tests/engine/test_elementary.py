"""Values of elementary functions, and their derivatives where the two sides meet."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Target
from ops_variants import own
from transforms import Transforms, differentiable

from ksubset._engine.elementary import magnitude, misplaced, positive_part, softplus
from ksubset._engine.ops import Ops

X = np.array([-700.0, -2.0, -0.0, 0.0, 0.5, 80.0])
FUNCTIONS: dict[str, tuple[Callable[[Ops, Any], Any], np.ndarray, np.ndarray]] = {
    "softplus": (softplus, np.logaddexp(0, X), 1 / (1 + np.exp(-X))),
    "positive part": (positive_part, np.maximum(X, 0), X > 0),
    "magnitude": (magnitude, np.abs(X), np.where(X > 0, 1, -1)),
    "misplaced at the top": (lambda ops, x: misplaced(ops, x, x == x), np.maximum(-X, 0), np.where(X > 0, 0, -1)),
    "misplaced below": (lambda ops, x: misplaced(ops, x, x != x), np.maximum(X, 0), X > 0),
}
each = pytest.mark.parametrize("name", FUNCTIONS)


@each
def test_values(target: Target, name: str) -> None:
    (function, values, _), x = FUNCTIONS[name], target.array(X)
    with np.errstate(under="ignore"):
        found = function(own(target), x)
    np.testing.assert_allclose(target.to_numpy(found), values, rtol=target.tolerance(1e-6, 1e-15), atol=1e-300)


@differentiable
@each
def test_derivatives(target: Target, diff: Transforms, name: str) -> None:
    """At 0 as on the side below, so that the sum of two such functions is as smooth as softplus."""
    (function, _, slopes), ops = FUNCTIONS[name], own(target)
    found = diff.grad(lambda x: function(ops, x).sum())(target.array(X))
    np.testing.assert_allclose(target.to_numpy(found), slopes, rtol=target.tolerance(1e-6, 1e-15), atol=1e-300)
