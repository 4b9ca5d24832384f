"""Cardinality potentials by kernels: against enumeration in every layout, and the rows that they leave to the core."""

import warnings

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from fast_cases import FAMILIES, rows_of
from potentials import Potential, rows
from significance import check_binomial, check_frequencies

import ksubset
from ksubset._api import show_config
from ksubset._law import functions
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu import calls_weighted, dispatch, dispatch_weighted
from ksubset.backends.array_api import NUMPY

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LAYOUTS = pytest.mark.parametrize(
    ("count", "dtype"),
    [(20, np.float32), (20, np.float64), (1, np.float64), pytest.param(1, np.float32, marks=pytest.mark.slow)],
)
"""Up to three rows go one by one. Each takes kernels of its own, which take seconds to compile."""

TOLERANCE = {np.float32: 5e-6, np.float64: 2e-14}
RANGES = [(0, 6), (0, 2), (2, 3), (4, 6), (0, 0), (6, 6)]


def within(truth, low, high):
    """The same potential without counts outside of a range, or None if that leaves none possible."""
    counts = np.arange(truth.log_weights.size)
    cut = Potential(truth.logits, np.where((counts >= low) & (counts <= high), truth.log_weights, -np.inf))
    return cut if len(cut.subsets) else None


def together(truths, dtype):
    return np.stack([np.concatenate([row.logits, row.log_weights]) for row in truths]).astype(dtype)


def scale(row):
    return np.maximum(1, np.abs(row.parameters).max())


@LAYOUTS
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_moments_and_products_agree_with_enumeration(low, high, count, dtype):
    truths = [cut for row in rows(6) if (cut := within(row, low, high))]
    x, law = together(truths, dtype), SizeWeighted(low, high)
    directions = np.random.default_rng(0).normal(size=x.shape).astype(dtype)
    for start in range(0, len(x), count):
        part, f = x[start : start + count], directions[start : start + count]
        found = [dispatch_weighted.evaluate(side, law, part) for side in (functions.marginals, functions.unchosen)]
        image = dispatch_weighted.evaluate(functions.marginals_jvp, law, part, f)
        for r, row in enumerate(truths[start : start + count]):
            bound = TOLERANCE[dtype] * scale(row)
            np.testing.assert_allclose(found[0][r], row.mean, atol=bound)
            np.testing.assert_allclose(found[1][r], 1 - row.mean, atol=bound)
            finite = np.where(np.isfinite(x[start + r]), f[r], 0)
            np.testing.assert_allclose(image[r], row.covariance @ finite, atol=bound)


@LAYOUTS
def test_scalars_agree_with_enumeration(count, dtype):
    truths = [row for row in rows(6) if np.isfinite(row.logits).all()][:count]
    x, potential = (np.stack([getattr(r, name) for r in truths]).astype(dtype) for name in ("logits", "log_weights"))
    potential = ksubset.Cardinality(potential)
    bound = (2e-6 if dtype == np.float32 else 5e-14) * np.array([scale(row) for row in truths])
    for name, expected in (
        ("log_normalizer", [row.log_normalizer for row in truths]),
        ("entropy", [row.entropy for row in truths]),
        ("log_prob_count", [row.independent for row in truths]),
    ):
        assert (
            np.abs(getattr(ksubset, name)(x, potential) - expected) <= bound * np.maximum(1, np.abs(expected))
        ).all()


def weights_of(kind, count, n, rng):
    """Log-weights (count, n + 1), and the least and the largest count."""
    c, k = np.arange(n + 1), n // 6
    ranges = {"most": (0, k), "least": (n - k, n), "between": (k, 2 * k)}
    low, high = ranges.get(kind, (0, n))
    smooth = -((c - n / 3) ** 2) / n * rng.uniform(0.1, 4, size=(count, 1))
    return np.where((c >= low) & (c <= high), smooth * (kind == "concave"), -np.inf) + np.zeros((count, 1)), low, high


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "x1000"])
@pytest.mark.parametrize("kind", ["most", "least", "between", "concave"])
@pytest.mark.parametrize(("count", "n"), [pytest.param(2, 61, marks=pytest.mark.slow), (20, 60)])
def test_float32_is_as_accurate_as_the_core_in_float64_allows(count, n, kind, family):
    """Both marginals relative to themselves wherever float32 can hold them; J · (v, u) relative to its norm."""
    rng = np.random.default_rng(n)
    weights, low, high = weights_of(kind, count, n, rng)
    x = np.concatenate([rows_of(family, count, n, rng), weights], axis=1).astype(np.float32)
    v = rng.normal(size=x.shape).astype(np.float32)
    for function in (functions.marginals, functions.unchosen, functions.marginals_jvp):
        arrays = (v,) if function is functions.marginals_jvp else ()
        found = dispatch_weighted.evaluate(function, SizeWeighted(low, high), x, *arrays)
        with np.errstate(all="ignore"):
            exact = function(NUMPY, SizeWeighted(low, high), x.astype(float), *arrays)
        if arrays:
            size = np.maximum(np.linalg.norm(exact, axis=1), 1e-3)
            assert (np.linalg.norm(found - exact, axis=1) <= 2e-6 * size).all()
        else:
            np.testing.assert_allclose(found[:, :n], exact[:, :n], rtol=8e-6, atol=1e-30)
            np.testing.assert_allclose(found[:, n:], exact[:, n:], atol=1e-6)


def test_long_rows_are_computed_in_segments():
    """The table of a row does not fit into the memory that is kept: it is made twice, a segment at a time."""
    n, low, high = 2400, 0, 1300
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(size=n) - 0.5, np.where(np.arange(n + 1) <= high, 0, -np.inf)])[None]
    v = rng.normal(size=x.shape)
    for function, arrays in ((functions.marginals, ()), (functions.marginals_jvp, (v,))):
        found = dispatch_weighted.evaluate(function, SizeWeighted(low, high), x, *arrays)
        with np.errstate(all="ignore"):
            expected = function(NUMPY, SizeWeighted(low, high), x, *arrays)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    several, law = np.concatenate([x] * 4), SizeWeighted(low, high)
    z = dispatch_weighted.sample(law, several, 0, (2,))
    assert (z.sum(axis=-1) <= high).all()
    assert (z.reshape(8, n) == dispatch_weighted.sample(law, np.concatenate([several] * 2), 0, ())).all()


def test_rows_that_need_several_tilts_are_left_to_the_core():
    truths = rows(6)
    x = together(truths, np.float64)
    served = calls_weighted.moments(x[:, :6], x[:, 6:], 0).served
    assert served[:-1].all()
    assert not served[-1]  # all counts of logits that lie far apart are alike


@pytest.mark.parametrize("slope", [-8.0, 8.0])
def test_one_tilt_is_found_far_from_where_the_search_begins(slope):
    """Steep weights bring the count to where float32 does not reach from the typical one."""
    x = np.random.default_rng(0).normal(size=(20, 200)).astype(np.float32)
    found = calls_weighted.moments(x, np.tile(slope * np.arange(201, dtype=np.float32), (20, 1)), 0, chosen=True)
    assert found.served.all()
    np.testing.assert_allclose(found.chosen, 1 / (1 + np.exp(-slope - x.astype(float))), rtol=2e-5)


def test_counts_that_infinite_logits_rule_out_do_not_matter():
    x, omega = np.zeros((20, 6)), np.zeros((20, 7))
    x[:, 0], x[:, 5], omega[:, 0], omega[:, 6] = np.inf, -np.inf, 900.0, 900.0
    found = calls_weighted.moments(x, omega, 0, chosen=True)
    assert found.served.all()
    np.testing.assert_allclose(found.chosen, np.array([1, 0.5, 0.5, 0.5, 0.5, 0]) + np.zeros((20, 1)), rtol=1e-14)


@LAYOUTS
@pytest.mark.parametrize(("low", "high"), [(0, 6), (2, 3), (5, 6)])
def test_law_of_samples(low, high, count, dtype):
    truths = rows(6)
    for row in (within(truths[i], low, high) for i in (2, 8, 30, -1)):
        if row is None:
            continue
        x = np.tile(together([row], dtype), (count, 1))
        z = dispatch_weighted.sample(SizeWeighted(low, high), x, 7, (20_000 // count,)).reshape(-1, 6)
        codes, known = z @ 2 ** np.arange(6), row.subsets @ 2 ** np.arange(6)
        assert np.isin(codes, known).all()
        check_frequencies(np.array([(codes == code).sum() for code in known]), row.probabilities)


@DTYPES
@pytest.mark.parametrize("sign", [-1, 1])
def test_rare_counts_keep_their_probability(sign, dtype):
    """About 1e-6, at either end of the counts."""
    log_weights = np.where(np.arange(5) == (4 if sign > 0 else 0), -11.0, 0.0)
    row = Potential(np.zeros(4), log_weights)
    x, draws = np.tile(together([row], dtype), (64, 1)), 100_000
    sizes = dispatch_weighted.sample(SizeWeighted(0, 4), x, 3, (draws,)).sum(axis=-1)
    check_binomial((sizes == (4 if sign > 0 else 0)).sum(), 64 * draws, row.mean[4:][4 if sign > 0 else 0])


def test_a_sample_depends_on_its_row_seed_and_number_alone():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.normal(size=(100, 400)), np.where(np.arange(401) <= 150, 0, -np.inf) + np.zeros((100, 1))], 1
    )
    law = SizeWeighted(0, 150)
    z = dispatch_weighted.sample(law, x, 9, (3,), threads=1)
    assert (z == dispatch_weighted.sample(law, x, 9, (3,), threads=3)).all()
    assert (z[0, :3] == dispatch_weighted.sample(law, x[:3], 9, ())).all()
    assert (z != dispatch_weighted.sample(law, x, 10, (3,))).any()


@pytest.mark.backends("numpy", "torch")
def test_calls_take_the_kernels(target, monkeypatch):
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    taken = []
    for name in ("evaluate", "moments", "sample"):
        whole = getattr(dispatch_weighted, name)
        monkeypatch.setattr(
            dispatch_weighted, name, lambda *args, f=whole, **options: taken.append(f.__name__) or f(*args, **options)
        )
    logits = target.array(np.stack([row.logits for row in rows(6)]))
    potential = ksubset.Cardinality(target.array(np.stack([row.log_weights for row in rows(6)])))
    for f in (ksubset.marginals, ksubset.entropy, ksubset.kl_to_uniform):
        f(logits, potential)
    ksubset.marginals_jvp(logits, potential, target.array(np.ones((len(logits), 6))))
    ksubset.rsample(logits, potential, rng=target.rng(0))
    assert taken == ["evaluate", "moments", "moments", "moments", "evaluate", "sample", "evaluate"]


@pytest.mark.backends("torch")
def test_gradients_take_the_kernels(target, monkeypatch):
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    truths = [row for row in rows(6) if np.isfinite(row.logits).all()]
    x, w = (target.array(np.stack([getattr(r, name) for r in truths])) for name in ("logits", "log_weights"))
    x, w = x.requires_grad_(), w.requires_grad_()
    z = ksubset.rsample(x, ksubset.Cardinality(w), rng=target.rng(0))
    taken, whole = [], dispatch_weighted.evaluate
    monkeypatch.setattr(
        dispatch_weighted,
        "evaluate",
        lambda function, *args, **options: taken.append(function) or whole(function, *args, **options),
    )
    z[:, 0].sum().backward()
    assert taken == [functions.marginals_jvp]
    found = np.concatenate([target.to_numpy(x.grad), target.to_numpy(w.grad)], axis=1)
    for row, gradient in zip(truths, found, strict=True):
        np.testing.assert_allclose(gradient, row.covariance[0], atol=2e-14 * scale(row))


def test_show_config_names_the_kernels_for_potentials(monkeypatch):
    monkeypatch.setenv("KSUBSET_FAST", "1")
    paths = show_config.paths(np.zeros((64, 100)), ksubset.at_least(93))
    for name in [show_config.NAMES.get(name, name) for name in dispatch.FUNCTIONS if name != "mode"]:
        assert "all sizes up to 7 under one tilt" in paths[name]
    assert paths["mode"].startswith("the core: there is no kernel")
    assert paths["everything else"].startswith("the core: there is no kernel")
    monkeypatch.setenv("KSUBSET_FAST", "0")
    assert "KSUBSET_FAST is 0" in show_config.paths(np.zeros((64, 100)), ksubset.at_most(7))["marginals"]


def test_results_without_warnings():
    x = together(rows(6), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("marginals", "log_normalizer", "entropy"):
            getattr(ksubset, name)(x[:, :6], ksubset.Cardinality(x[:, 6:]))
