"""The CPU fast path against enumeration: every k, per-row k, infinite logits, infeasible rows."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from fast_cases import FAMILIES, counts_for, enumerated, rows_of

from ksubset._engine import inference
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cpu import calls, dispatch_fixed
from ksubset.backends.array_api import NUMPY

TOLERANCE = {np.float32: 2e-5, np.float64: 3e-14}
PARAMETERS = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BATCHES = pytest.mark.parametrize("count", [1, 2, 21])


@PARAMETERS
@BATCHES
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("family", ["x0.01", "x1", "x10", "infinite"])
def test_every_answer_agrees_with_enumeration(family, n, count, dtype):
    if family == "infinite" and n < 3:
        pytest.skip("needs three items")
    rng = np.random.default_rng(n)
    logits = rows_of(family, count, n, rng).astype(dtype)
    k, v = counts_for(family, count, n, rng), rng.normal(size=(count, n)).astype(dtype)
    found, product = dispatch_fixed.moments(FixedSize(k, n // 2), logits), calls.jacobian_product(logits, k, v)
    entropies = functions.entropy(NUMPY, FixedSize(k, n // 2), logits, solution=found)
    for r in range(count):
        _, _, mu, covariance, entropy = enumerated(logits[r].astype(float), int(k[r]))
        np.testing.assert_allclose(found.chosen[r], mu, rtol=TOLERANCE[dtype], atol=1e-30)
        np.testing.assert_allclose(found.unchosen[r], 1 - mu, rtol=TOLERANCE[dtype], atol=1e-14)
        np.testing.assert_allclose(entropies[r], entropy, atol=TOLERANCE[dtype])
        expected = covariance @ v[r].astype(float)
        error = np.linalg.norm(product[r] - expected)
        assert error <= TOLERANCE[dtype] * max(np.linalg.norm(expected), 1e-3)


@PARAMETERS
@BATCHES
def test_every_k_of_one_row(count, dtype):
    logits = np.tile(np.random.default_rng(0).normal(size=7).astype(dtype), (count, 1))
    for k in range(8):
        found = calls.moments(logits, k)
        np.testing.assert_allclose(found.chosen[-1], enumerated(logits[0].astype(float), k)[2], rtol=2e-6, atol=1e-30)
        assert (calls.sample(logits, k, 5)[0].sum(-1) == k).all()


@PARAMETERS
@BATCHES
def test_log_volume_is_that_of_the_core(count, dtype):
    logits = (5 * np.random.default_rng(1).normal(size=(count, 60))).astype(dtype)
    for k in (20, np.arange(count) * 3):
        found = dispatch_fixed.moments(FixedSize(k, 30), logits, sides=False)
        t = found.tilted.astype(float)
        core = inference.moments(NUMPY, t, k)  # λ of a row that is tilted already is another one
        shift = core.tilted[:, 0] - t[:, 0]
        expected = core.log_partition + np.maximum(core.tilted, 0).sum(-1) - np.maximum(t, 0).sum(-1) - k * shift
        np.testing.assert_allclose(found.log_partition, expected, atol=1e-5 if dtype == np.float32 else 1e-12)
        assert found.chosen is found.unchosen is None


@PARAMETERS
@pytest.mark.parametrize("count", [3, 20])
@pytest.mark.parametrize("defect", ["nan", "too many +inf", "too many -inf"])
def test_a_bad_row_gives_nan_in_that_row_alone(defect, count, dtype):
    logits = np.random.default_rng(2).normal(size=(count, 40)).astype(dtype)
    good = logits.copy()
    logits[1, {"nan": slice(3, 4), "too many +inf": slice(8), "too many -inf": slice(36)}[defect]] = {
        "nan": np.nan,
        "too many +inf": np.inf,
        "too many -inf": -np.inf,
    }[defect]
    rest = np.arange(count) != 1
    for k in (7, np.full(count, 7)):
        found, reference = calls.moments(logits, k), calls.moments(good, k)
        pairs = list(zip(found[2:], reference[2:], strict=True))
        assert np.isnan(found.shifts[:, 1].sum())
        assert np.isnan(found.log_partition[1])
        pairs.append((calls.jacobian_product(logits, k, good), calls.jacobian_product(good, k, good)))
        pairs.append((calls.sample(logits, k, 3)[0], calls.sample(good, k, 3)[0]))
        for bad, expected in pairs:
            assert np.isnan(bad[1]).all()
            np.testing.assert_allclose(bad[rest], expected[rest], rtol=3e-5, atol=1e-6)


@PARAMETERS
@BATCHES
def test_infinite_logits_decide_exactly(count, dtype):
    rng = np.random.default_rng(3)
    logits, v = rng.normal(size=(count, 30)).astype(dtype), np.full((count, 30), np.inf, dtype)
    logits[:, :3], logits[:, 3:9] = np.inf, -np.inf
    v[:, 9:] = rng.normal(size=(count, 21))
    for k in (3, 10, 20, 24):
        found, product, z = (
            calls.moments(logits, k),
            calls.jacobian_product(logits, k, v),
            calls.sample(logits, k, 0)[0],
        )
        for x in (found.chosen, z, 1 - found.unchosen):
            assert (x[:, :3] == 1).all()
            assert (x[:, 3:9] == 0).all()
        assert (product[:, :9] == 0).all()
        assert np.isfinite(product).all()


@PARAMETERS
@pytest.mark.parametrize("family", FAMILIES)
def test_no_rows_and_read_only_rows(family, dtype):
    rng = np.random.default_rng(4)
    assert calls.moments(np.empty((0, 5), dtype), 2).chosen.shape == (0, 5)
    logits = rows_of(family, 4, 9, rng).astype(dtype)
    logits.flags.writeable = False
    assert np.allclose(calls.moments(logits, 3).chosen.sum(1), 3, atol=1e-5)


@PARAMETERS
@BATCHES
@pytest.mark.parametrize("wrong", [-1, 31, 10**9, -(10**9)])
def test_a_k_out_of_range_gives_nan(wrong, count, dtype):
    logits = np.random.default_rng(5).normal(size=(count, 30)).astype(dtype)
    k = np.full(count, 7, np.int32)
    k[-1] = wrong
    for counts, bad in ((k, slice(count - 1, None)), (wrong, slice(None))):
        answers = calls.moments(logits, counts).chosen, calls.jacobian_product(logits, counts, logits)
        for x in (*answers, calls.sample(logits, counts, 0)[0]):
            assert np.isnan(x[bad]).all()
            assert np.isfinite(x[: bad.start or 0]).all()


def test_strided_logits_and_other_dtypes_of_v():
    logits = np.random.default_rng(6).normal(size=(40, 20)).astype(np.float32).T
    copy = logits.copy()
    assert (calls.moments(logits, 4).chosen == calls.moments(copy, 4).chosen).all()
    v = logits.astype(float)[:, ::-1]
    assert (calls.jacobian_product(logits, 4, v) == calls.jacobian_product(copy, 4, v.astype(np.float32).copy())).all()
