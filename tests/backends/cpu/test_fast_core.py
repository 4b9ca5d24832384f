"""The CPU fast path against the core in float64, where enumeration ends: both methods, long rows, saturation."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from fast_cases import FAMILIES, counts_for, rows_of

from ksubset._engine import inference
from ksubset._law.fixed_size import FixedSize
from ksubset._law.functions import entropy, log_normalizer
from ksubset.backends._cpu import calls, dispatch_fixed, planning
from ksubset.backends.array_api import NUMPY

RELATIVE = {np.float32: 1e-5, np.float64: 5e-14}
PRODUCT = {np.float32: 4e-6, np.float64: 3e-14}


def core(logits, k, v):
    """Marginals, J · v and entropy by the core in float64."""
    logits, width = logits.astype(float), int(np.minimum(k, logits.shape[1] - k).max())
    with np.errstate(all="ignore"):
        found = inference.moments(NUMPY, logits, k)
        product = inference.jacobian_product(NUMPY, logits, k, v.astype(float))
        return found, product, entropy(NUMPY, FixedSize(k, width), logits, solution=found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("count", "n"), [(1, 64), (3, 333), (19, 64), (17, 333), (2, 2000), (16, 1000), (1, 6000)])
@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_the_core(family, count, n, dtype):
    rng = np.random.default_rng(n)
    logits = rows_of(family, count, n, rng).astype(dtype)
    k, v = counts_for(family, count, n, rng), rng.normal(size=(count, n)).astype(dtype)
    found, product = dispatch_fixed.moments(FixedSize(k, n // 2), logits), calls.jacobian_product(logits, k, v)
    expected, expected_product, expected_entropy = core(logits, k, v)
    for ours, theirs in ((found.chosen, expected.chosen), (found.unchosen, expected.unchosen)):
        assert np.max(np.abs(ours - theirs) / np.maximum(theirs, 1e-30)) < RELATIVE[dtype]
    scale = np.maximum(np.linalg.norm(expected_product, axis=1), 1e-3)
    assert np.max(np.linalg.norm(product - expected_product, axis=1) / scale) < PRODUCT[dtype]
    slack = (40 if dtype == np.float32 else 400) * np.finfo(dtype).eps * (np.abs(expected_entropy) + np.sqrt(n) + 10)
    assert (np.abs(entropy(NUMPY, FixedSize(k, n // 2), logits, solution=found) - expected_entropy) < slack).all()
    assert (np.abs(calls.scalars(logits, k, normaliser=False) - expected_entropy) < slack).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [2, 16, 40])
def test_recursion_and_contour_give_the_same(count, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    for family in FAMILIES:
        logits = rows_of(family, count, 300, rng).astype(dtype)
        k, v = counts_for(family, count, 300, rng), rng.normal(size=(count, 300)).astype(dtype)
        answers = []
        for widest in (-1, 300):
            monkeypatch.setattr(planning, "WIDEST", dict.fromkeys(planning.WIDEST, widest))
            few = np.minimum(k, 12)
            scalars = [calls.scalars(logits, few, normaliser=normaliser) for normaliser in (False, True)]
            answers.append((calls.moments(logits, k, partition=False), calls.jacobian_product(logits, k, v), scalars))
        (contour, product, scalars), (recursion, other_product, other_scalars) = answers
        tolerance = 1e-5 if dtype == np.float32 else 2e-14
        np.testing.assert_allclose(scalars, other_scalars, rtol=tolerance, atol=tolerance)
        close = {"rtol": RELATIVE[dtype], "atol": 1e-30}
        np.testing.assert_allclose(contour.chosen, recursion.chosen, **close)
        np.testing.assert_allclose(contour.unchosen, recursion.unchosen, **close)
        size = np.abs(other_product).max(axis=-1, keepdims=True)
        assert (np.abs(product - other_product) <= PRODUCT[dtype] * (size + 1e-30)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "widest"), [(50, 300), (300, -1)])
def test_a_row_alone_and_among_others(n, widest, dtype, monkeypatch):
    """Whatever its lane and whatever the form that its neighbours take."""
    monkeypatch.setattr(planning, "WIDEST", dict.fromkeys(planning.WIDEST, widest))
    rng = np.random.default_rng(3)
    scales = np.array([0.0, 1e-3, 1.0, 10.0, 100.0, 1e4])[rng.integers(6, size=40)]
    logits, v = scales[:, None] * rng.normal(size=(40, n)), rng.normal(size=(40, n))
    logits, v, k = logits.astype(dtype), v.astype(dtype), rng.integers(n + 1, size=40)
    mu, product = calls.moments(logits, k, partition=False).chosen, calls.jacobian_product(logits, k, v)
    for r in range(40):
        alone = np.concatenate([logits[r : r + 1]] * 2), np.concatenate([k[r : r + 1]] * 2)
        np.testing.assert_allclose(calls.moments(*alone, partition=False).chosen[0], mu[r], rtol=RELATIVE[dtype])
        again = calls.jacobian_product(*alone, np.concatenate([v[r : r + 1]] * 2))[0]
        assert np.abs(again - product[r]).max() <= PRODUCT[dtype] * np.abs(product[r]).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_row_computed_in_segments(dtype):
    rng = np.random.default_rng(1)
    logits, v = rng.normal(size=(1, 200_000)).astype(dtype), rng.normal(size=(1, 200_000)).astype(dtype)
    k = 60_000
    found = calls.moments(logits, k)
    assert abs(found.chosen.sum(dtype=float) - k) < 1e-5 * k
    assert np.max(np.abs(found.chosen + found.unchosen - 1)) < RELATIVE[dtype]
    step = 1e-4 * v.astype(float)
    product = calls.jacobian_product(logits, k, v)
    up, down = (calls.moments(logits.astype(float) + s, k).chosen for s in (step, -step))
    expected = (up - down) / 2e-4
    assert np.linalg.norm(product - expected) < 2e-5 * np.linalg.norm(expected)
    assert (calls.sample(logits, k, 0, (2,))[0].sum(-1, dtype=float) == k).all()
    for normaliser, function in ((False, entropy), (True, log_normalizer)):
        expected = function(NUMPY, FixedSize(k, k), logits.astype(float))
        np.testing.assert_allclose(calls.scalars(logits, k, normaliser=normaliser), expected, rtol=RELATIVE[dtype])


def test_lambda_found_before_is_used_again():
    rng = np.random.default_rng(2)
    logits, v = rng.normal(size=(20, 50)), rng.normal(size=(20, 50))
    k = rng.integers(0, 51, size=20)
    for shifts in (calls.moments(logits, k).shifts, calls.sample(logits, k, 0)[1]):
        again = calls.jacobian_product(logits, k, v, shifts=shifts)
        np.testing.assert_allclose(again, calls.jacobian_product(logits, k, v), rtol=1e-10, atol=1e-13)


def test_says_which_path_a_call_takes():
    assert calls.find_path("moments", 128, 350, 10, np.float32)[:2] == ("recursion", "rows")
    assert calls.find_path("moments", 128, 350, 10, np.float32) == calls.find_path("moments", 128, 350, 10, "f4")
    assert calls.find_path("scalars", 128, 512, 10, np.float32)[:2] == ("recursion", "rows")
    assert calls.find_path("scalars", 128, 513, 10, np.float32)[:2] == ("contour", "items")
    assert calls.find_path("partition", 128, 250, 10, np.float32)[:2] == ("contour", "rows")
    assert calls.find_path("sample", 1, 10**6, 10**5, np.float32)[:2] == ("contour", "items")
    assert calls.find_path("moments", 128, 350, 10, np.float16) is None
    assert calls.find_path("moments", 128, 350, 10, "no dtype") is None
    assert calls.find_path("moments", 0, 350, 10, np.float32) is None
