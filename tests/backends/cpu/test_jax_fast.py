"""The CPU fast path inside JAX's programs: the answers of the core."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
pytest.importorskip("jax", reason="a test of JAX's adapter")
import jax
import jax.export
from conftest import Target
from fast_cases import FAMILIES, counts_for, rows_of
from jax_kernels import DOUBLE, SINGLE, V, X, answers, check, core, kernels, scalars

import ksubset
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends.array_api import NUMPY

pytestmark = [pytest.mark.backends("jax"), pytest.mark.usefixtures("fast")]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", SINGLE), ("float64", DOUBLE)])
@pytest.mark.parametrize("count", [1, 2, 21])
def test_agrees_with_the_core(target: Target, count: int, dtype: str, tolerance: float) -> None:
    for number, family in enumerate(FAMILIES):
        rng = np.random.default_rng(number)
        logits, v = rows_of(family, count, 40, rng).astype(dtype), rng.normal(size=(count, 40)).astype(dtype)
        k = counts_for(family, count, 40, rng)
        ours = target.array(logits, dtype), target.array(k), target.array(v, dtype)
        assert kernels(answers, *ours) == 3
        for found in (answers(*ours), jax.jit(answers)(*ours)):
            assert all(x.dtype == dtype for x in found)
            check(found, core(logits, k, v), tolerance)
        one = int(k[0])
        check(answers(ours[0], one, ours[2]), core(logits, one, v), tolerance)


@pytest.mark.parametrize(
    ("count", "n", "most", "dtype"),
    [(1, 40, 20, "float64"), (21, 40, 20, "float32"), (3, 400, 200, "float64"), (40, 60, 5, "float32")],
)
def test_scalars_agree_with_the_core(target: Target, count: int, n: int, most: int, dtype: str) -> None:
    rng, tolerance = np.random.default_rng(n), SINGLE if dtype == "float32" else DOUBLE
    logits, k = (10 * rng.normal(size=(count, n))).astype(dtype), rng.integers(1, most + 1, size=count)
    x, sizes = target.array(logits, dtype), target.array(k)
    law, wide = FixedSize(k, n // 2), logits.astype(float)
    expected = functions.entropy(NUMPY, law, wide), functions.log_normalizer(NUMPY, law, wide)
    assert kernels(scalars, x, sizes) == 2
    bounded = jax.jit(lambda x, k: [f(x, k, max_k=most) for f in (ksubset.entropy, ksubset.log_normalizer)])
    for found in (scalars(x, sizes), bounded(x, sizes), jax.vmap(scalars)(x, sizes)):
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.shape, ours.dtype) == ((count,), dtype)
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    if count == 1:
        slope = jax.jacrev(lambda x: jax.numpy.stack(scalars(x, int(k[0]))))(x[0])
        product = ksubset.marginals_jvp(x[0], int(k[0]), x[0])
        np.testing.assert_allclose(slope, [-product, ksubset.marginals(x[0], int(k[0]))], atol=tolerance)


@pytest.mark.parametrize(("n", "k", "dtype"), [(9, 3, "float64"), (60, 57, "float32"), (80, 40, "float64")])
def test_log_probabilities_agree_with_the_core(target: Target, n: int, k: int, dtype: str) -> None:
    rng, tolerance = np.random.default_rng(n), SINGLE if dtype == "float32" else DOUBLE
    logits = (3 * rng.normal(size=(5, n))).astype(dtype)
    logits[0, :2] = np.inf, -np.inf
    z = ksubset.sample(logits, k, rng=0, sample_shape=(4, 2))
    z[0, 0, 1], z[1, 0, 2, 0] = 0, 0.5
    with np.errstate(all="ignore"):
        expected = functions.log_prob(NUMPY, FixedSize(k, n // 2), logits.astype(float), z.astype(float))
    x, subsets = target.array(logits, dtype), target.array(z, dtype)

    def one(x: jax.Array, z: jax.Array) -> jax.Array:
        return ksubset.log_prob(x, k, z, validate=False)

    assert kernels(one, x, subsets) == 1
    by_row = jax.vmap(one, in_axes=(0, 2), out_axes=2)(x, subsets)
    by_draw = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(None, 0))(x, subsets)
    sized = jax.jit(lambda x, z, k: ksubset.log_prob(x, k, z))(x, subsets, target.array(np.full(5, k)))
    one_row = one(x[0], subsets[..., 0, :])
    for found in (one(x, subsets), by_row, by_draw, sized):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(one_row, expected[..., 0], rtol=tolerance, atol=tolerance)
    one_subset = jax.jit(one)(x[1:], subsets[0, 1, 1])
    np.testing.assert_allclose(one_subset, [one(row, subsets[0, 1, 1]) for row in x[1:]], rtol=tolerance)


@pytest.mark.parametrize(("n", "k", "dtype"), [(9, 3, "float64"), (60, 57, "float32"), (80, 40, "float64")])
def test_divergences_agree_with_the_core(target: Target, n: int, k: int, dtype: str) -> None:
    rng, tolerance = np.random.default_rng(n), SINGLE if dtype == "float32" else DOUBLE
    logits, other = (2 * rng.normal(size=(2, 5, n))).astype(dtype)
    logits[0, :2], other[1, 0] = (np.inf, -np.inf), -np.inf
    law, wide = FixedSize(k, n // 2), (logits.astype(float), other.astype(float))
    with np.errstate(all="ignore"):
        expected = functions.kl_divergence(NUMPY, law, *wide), functions.kl_to_uniform(NUMPY, law, wide[0])
    assert np.isinf(expected[0]).sum() == 1

    def both(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return ksubset.kl_divergence(x, y, k), ksubset.kl_to_uniform(x, k)

    x, y = target.array(logits, dtype), target.array(other, dtype)
    assert kernels(both, x, y) == 2
    exported = jax.export.export(jax.jit(both))(x, y)  # which keeps to array code
    for found in (both(x, y), jax.jit(jax.vmap(both))(x, y), exported.call(x, y)):
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    assert (ksubset.kl_divergence(y, y, k) == 0).all()
    slope = jax.grad(lambda x: both(x, y[2])[0])(x[2])
    np.testing.assert_allclose(slope, ksubset.marginals_jvp(x[2], k, x[2] - y[2]), atol=10 * tolerance)


@pytest.mark.parametrize(("count", "n"), [(1, 5000), (8, 1200), (5, 1), (5, 2)])
def test_long_and_short_rows(target: Target, count: int, n: int) -> None:
    rng = np.random.default_rng(n)
    logits, v, k = rng.normal(size=(count, n)), rng.normal(size=(count, n)), rng.integers(0, n + 1, size=count)
    check(answers(target.array(logits), target.array(k), target.array(v)), core(logits, k, v))


def test_a_bad_row_is_nan_alone(target: Target) -> None:
    logits = np.tile(X[0, 0], (7, 1))
    logits[1, 3], logits[2, :6], logits[3, :6] = np.nan, np.inf, -np.inf
    k = np.array([4, 4, 4, 4, -1, 10, 4])
    found = jax.jit(answers)(target.array(logits), target.array(k), target.array(np.tile(V[0, 0], (7, 1))))
    for ours, theirs in zip(found, core(X[0, 0], 4, V[0, 0]), strict=True):
        assert (np.isnan(ours).all(axis=-1) == [False, True, True, True, True, True, False]).all()
        np.testing.assert_allclose(ours[jax.numpy.array([0, 6])], [theirs, theirs], rtol=1e-12)
    for ours in jax.jit(scalars)(target.array(logits), target.array(k)):
        assert (np.isnan(ours) == [False, True, True, True, True, True, False]).all()
    bounded = jax.jit(lambda x, k: ksubset.marginals(x, k, max_k=6))
    total = bounded(target.array(np.zeros((4, 20))), target.array([2, 7, 6, 19])).sum(axis=-1)
    np.testing.assert_allclose(total, [2, np.nan, 6, 19])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_k_of_every_dtype(target: Target, dtype: str) -> None:
    logits, k = np.zeros((3, 300)), np.array([0, 7, 100])
    found = jax.jit(ksubset.marginals)(target.array(logits), target.array(k, dtype))
    np.testing.assert_allclose(found, np.broadcast_to(k[:, None] / 300, (3, 300)), rtol=1e-12)
    far = target.array(np.array([3 + 2**32]), "int64" if dtype.endswith("8") else dtype)
    if dtype.endswith("64"):
        assert np.isnan(jax.jit(ksubset.marginals)(target.array(np.zeros((1, 300))), far)).all()
