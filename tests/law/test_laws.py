"""What a law is made of, and what the functions ask of it."""

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest

from ksubset._call.prepare import prepare
from ksubset._engine.potential import each_size, mixture
from ksubset._law import functions, size_weighted
from ksubset._law.fixed_size import FixedSize, log_binomial
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends.array_api import NUMPY

LOGITS = np.array([0.5, -1.0, 2.0, 0.0])
LAWS: dict[str, tuple[Law, np.ndarray]] = {
    "one size": (FixedSize(2, 2), LOGITS),
    "a size by row": (FixedSize(np.array([1, 3]), 1), np.stack([LOGITS, -LOGITS])),
    "weighted sizes": (SizeWeighted(1, 3), np.append(LOGITS, [-np.inf, 0.0, 1.0, 2.0, -np.inf])),
}
NEEDED = {
    "marginals": {"chosen"},
    "unchosen": {"unchosen"},
    "log_normalizer": {"partition"},
    "log_prob_count": {"partition"},
    "entropy": {"partition", "chosen", "unchosen"},
}


@pytest.mark.parametrize("name", LAWS)
def test_a_law_is_its_static_form_and_its_sizes(name: str) -> None:
    """Adapters compile for the first, which is hashable, and hand over the second."""
    law = LAWS[name][0]
    assert hash(law.static) == hash(law.static)
    assert law.static.is_sized == (law.counts is None)
    assert vars(law.static.sized(law.counts)) == vars(law)


@pytest.mark.parametrize("name", LAWS)
def test_the_arrangement_of_parameters(name: str) -> None:
    law, parameters = LAWS[name]
    assert law.items_among(parameters.shape[-1]) == 4
    padded = law.padded(np, law.items(parameters))
    np.testing.assert_array_equal(law.items(padded), parameters[..., :4])
    assert padded.shape == parameters.shape
    assert (padded[..., 4:] == 0).all()


@pytest.mark.parametrize("name", LAWS)
def test_the_complement_of_the_mean(name: str) -> None:
    law, parameters = LAWS[name]
    found = law.moments(NUMPY, parameters)
    assert law.mean(NUMPY, found).shape == parameters.shape
    np.testing.assert_allclose(law.complement(NUMPY, found), 1 - law.mean(NUMPY, found), rtol=1e-12)


@pytest.mark.parametrize(("low", "high", "most", "width"), [(0, 3, 3, 3), (1, 8, 8, 4), (7, 9, 2, 2)])
def test_the_smaller_side_of_weighted_sizes(
    low: int, high: int, most: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    law, parameters = SizeWeighted(low, high), np.zeros(19)
    assert law.bound(9) == most
    monkeypatch.setattr(size_weighted, "draw", lambda ops, theta, k, width, u: width)
    assert law.draw(NUMPY, parameters, np.zeros(9)) == width


def test_how_many_uniforms_a_row_takes() -> None:
    """One for each item but one, and one for the size."""
    for n, fewest in ((0, 0), (1, 0), (4, 3)):
        assert FixedSize(0, 0).uniforms(n) == fewest
        assert SizeWeighted(0, n).uniforms(n) == fewest + 1


@pytest.mark.parametrize(("sweeps", "avoided"), [(True, (each_size, "every")), (False, (mixture, "sweep"))])
def test_the_way_to_tilt(sweeps: bool, avoided: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size is tilted only where values cannot decide how many tilts there are, and both ways agree there."""
    law, parameters = LAWS["weighted sizes"]
    v = np.arange(9.0)
    expected = law.moments(NUMPY, parameters).chosen, law.product(NUMPY, parameters, v)
    monkeypatch.setattr(*avoided, None)
    ops = replace(NUMPY, sweeps=sweeps)
    found = law.moments(ops, parameters).chosen, law.product(ops, parameters, v)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)


@pytest.mark.parametrize(
    ("k", "max_k", "validate", "width"),
    [
        (2, None, None, 2),
        (7, None, None, 2),
        (np.array([1, 5]), None, None, 4),
        (np.array([1, 8]), None, None, 1),
        (np.array([2]), None, None, 2),
        (np.zeros(0, int), None, None, 4),
        (np.array([1, 2]), None, False, 4),
        (np.array([1, 2]), 3, False, 3),
        (np.array([1, 2]), 3, None, 2),
    ],
)
def test_no_more_items_are_drawn_than_the_smaller_side_has(k: Any, max_k: int, validate: bool, width: int) -> None:
    """Which bounds the tables of the sampler; sizes that are not read are bounded by ``max_k``."""
    assert prepare(np.zeros((*np.shape(k), 9)), k, max_k, validate).problem.law.bound(9) == width


@pytest.mark.parametrize("name", NEEDED)
def test_no_moments_are_computed_that_are_not_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, original = [], FixedSize.moments

    def moments(self: FixedSize, *given: Any, **wanted: bool) -> Any:
        asked.append({side for side in ("partition", "chosen", "unchosen") if wanted.get(side, True)})
        return original(self, *given, **wanted)

    monkeypatch.setattr(FixedSize, "moments", moments)
    getattr(functions, name)(NUMPY, FixedSize(2, 2), LOGITS)
    assert asked == [NEEDED[name]]


def test_which_functions_have_kernels_of_their_own() -> None:
    others = {
        functions.log_prob_count,
        functions.kl_divergence,
        functions.kl_to_uniform,
        functions.logits_from_marginals,
    }
    for law, own in ((FixedSize(2, 2), functions.OWN), (SizeWeighted(0, 2), frozenset())):
        asked = functions.OWN | others | {functions.jacobian_solve, functions.marginals, functions.marginals_jvp}
        expected = own | {functions.marginals, functions.marginals_jvp}
        assert {function for function in asked if functions.has_own_kernel(function, law)} == expected
        loops, divergences = functions.SEARCHING, functions.DIVERGENCES if own else frozenset()
        assert {function for function in asked if functions.asks_kernels(function, law)} == loops | divergences


@pytest.mark.parametrize(("n", "k"), [(1, 0), (10, 5), (10, 7), (4096, 4000), (1_000_000, 3), (400_000, 200_000)])
def test_log_binomials_to_the_last_digits(n: int, k: int) -> None:
    with mpmath.workdps(40):
        expected = float(mpmath.log(mpmath.binomial(n, k)))
    assert log_binomial(n, k) == pytest.approx(expected, rel=4e-16, abs=0)
