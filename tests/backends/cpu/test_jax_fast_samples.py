"""Samples of the CPU fast path inside JAX's programs: their law, and what they depend on."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
pytest.importorskip("jax", reason="a test of JAX's adapter")
import jax
import jax.export
from conftest import Target
from fast_cases import enumerated
from significance import check_binomial, check_frequencies

import ksubset

pytestmark = [pytest.mark.backends("jax"), pytest.mark.usefixtures("fast")]
X = np.random.default_rng(0).normal(size=(5, 12))
K = np.array([0, 3, 6, 11, 12])


def check_law(z: Any, row: np.ndarray, k: int) -> None:
    subsets, p = enumerated(row, k)[:2]
    place = 1 << np.arange(len(row))
    codes = (np.asarray(z).reshape(-1, len(row)) @ place).astype(int)
    check_frequencies(np.bincount(codes, minlength=1 << len(row))[(subsets @ place).astype(int)], p)


def equal(ours: Any, theirs: Any) -> bool:
    return ours.shape == theirs.shape and bool((ours == theirs).all())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 20])
def test_law(target: Target, count: int, dtype: str) -> None:
    row = np.array([1.5, -0.3, 0.2, -2.0, 0.7, 0.1])
    logits = target.array(np.tile(row, (count, 1)), dtype)
    z = ksubset.sample(logits, 2, rng=target.rng(0), sample_shape=(60_000 // count,))
    assert z.dtype == dtype
    check_law(z, row, 2)


def test_law_of_one_draw_for_every_key(target: Target) -> None:
    row, keys = np.array([1.5, -0.3, 0.2, -2.0, 0.7, 0.1]), jax.random.split(target.rng(1), 60_000)
    z = jax.jit(jax.vmap(lambda key: ksubset.sample(target.array(row), 4, rng=key)))(keys)
    check_law(z, row, 4)
    both = np.asarray((z[1::2] * z[::2]).reshape(-1, 6).sum(axis=0))
    check_binomial(both, 30_000, enumerated(row, 4)[2] ** 2)


def test_same_key_same_subsets(target: Target) -> None:
    x, key = target.array(X), target.rng(0)

    def draw(x: Any, key: Any) -> Any:
        return ksubset.sample(x, 5, rng=key, sample_shape=(2, 3))

    z = draw(x, key)
    assert z.shape == (2, 3, 5, 12)
    assert (z.sum(axis=-1) == 5).all()
    for again in (draw(x, key), jax.jit(draw)(x, key), draw(x, jax.random.key_data(key)), draw(x, 0)):
        assert equal(again, z)
    assert not equal(draw(x, target.rng(1)), z)
    assert not equal(z[0], z[1])
    assert equal(ksubset.rsample(x, 5, rng=key, sample_shape=(2, 3)), z)
    assert ksubset.sample(x, 5, rng=key, sample_shape=(0,)).shape == (0, 5, 12)
    with pytest.raises(TypeError, match="JAX has no global generator"):
        ksubset.sample(x, 5)


def test_vmap_draws_what_a_loop_draws(target: Target) -> None:
    x, k, keys = target.array(X), target.array(K), jax.random.split(target.rng(0), 4)

    def draw(x: Any, k: Any, key: Any) -> Any:
        return ksubset.sample(x, k, rng=key, sample_shape=(3,))

    over_keys = jax.jit(jax.vmap(draw, in_axes=(None, None, 0)))(x, k, keys)
    assert equal(over_keys, jax.numpy.stack([draw(x, k, key) for key in keys]))
    over_both = jax.vmap(jax.vmap(draw, in_axes=(0, 0, None)), in_axes=(None, None, 0))(x, k, keys)
    loop = [[draw(x[i], k[i], key) for i in range(5)] for key in keys]
    assert equal(over_both, jax.numpy.stack([jax.numpy.stack(row) for row in loop]))
    assert (over_both.sum(axis=-1) == k[None, :, None]).all()
    over_rows = jax.vmap(draw, in_axes=(0, 0, None))(x, k, keys[0])
    assert equal(over_rows, over_both[0])
    scanned = jax.lax.scan(lambda carry, key: (carry, draw(x, k, key)), 0, keys)[1]
    assert equal(scanned, over_keys)


@pytest.mark.parametrize("k", [4, ksubset.at_most(3)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [1, 3, 17])
def test_keys_that_share_a_vector_draw_what_each_draws_alone(target: Target, k: Any, dtype: str, share: int) -> None:
    """One draw to a key: all rows go to the kernel together, sixteen of them or so to a vector."""
    keys = jax.random.split(target.rng(2), 23)
    x = target.array(np.random.default_rng(1).normal(size=(23, share, 10)), dtype)
    together = jax.jit(jax.vmap(lambda x, key: ksubset.sample(x, k, rng=key)))(x, keys)
    alone = [ksubset.sample(rows, k, rng=key) for rows, key in zip(x, keys, strict=True)]
    assert equal(together, jax.numpy.stack(alone))


@pytest.mark.parametrize("draws", [(), (3,)], ids=str)
@pytest.mark.parametrize(("n", "k"), [(10, 4), (10, ksubset.at_most(3)), (40, 20)], ids=str)
def test_every_bit_of_a_key_changes_what_is_drawn(target: Target, n: int, k: Any, draws: tuple[int, ...]) -> None:
    bits = np.left_shift(np.uint64(1), np.arange(64, dtype=np.uint64))
    words = np.concatenate([[np.uint64(0)], bits]).view(np.uint32).reshape(65, 2)
    x = target.array(np.zeros((5, n)))
    z = jax.vmap(lambda key: ksubset.sample(x, k, rng=key, sample_shape=draws))(jax.numpy.asarray(words))
    assert len(np.unique(np.asarray(z).reshape(65, -1), axis=0)) == 65


def test_keys_of_another_generator(target: Target) -> None:
    """They have four words, of which two cannot hold all."""
    x, key = target.array(X), jax.random.key(0, impl="rbg")
    assert jax.random.key_data(key).shape == (4,)
    z = ksubset.sample(x, 5, rng=key, sample_shape=(2,))
    assert equal(jax.jit(lambda x, key: ksubset.sample(x, 5, rng=key, sample_shape=(2,)))(x, key), z)
    first, second = (ksubset.sample(x, 5, rng=other) for other in jax.random.split(key))
    assert (first.sum(axis=-1) == 5).all()
    assert not equal(first, second)


def test_gradient_of_samples(target: Target) -> None:
    x, g, keys = target.array(X), target.array(X[::-1].copy()), jax.random.split(target.rng(0), 5)

    def loss(x: Any, g: Any, key: Any) -> Any:
        return (ksubset.rsample(x, 5, rng=key) * g).sum()

    expected = ksubset.marginals_jvp(x, 5, g)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(x, g, keys[0]), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(loss))(x, g, keys), expected, rtol=1e-12, atol=1e-14)
    tangent = jax.jvp(lambda x: ksubset.rsample(x, 5, rng=keys[0], sample_shape=(2,)), (x,), (g,))[1]
    np.testing.assert_allclose(tangent, [expected, expected], rtol=1e-12, atol=1e-14)
    assert (jax.grad(lambda x: ksubset.sample(x, 5, rng=keys[0]).sum())(x) == 0).all()


def test_a_bad_row_is_nan_alone(target: Target) -> None:
    logits, k = X.copy(), np.array([5, 13, 5, -1, 5])
    logits[2, 0] = np.nan
    z = jax.jit(lambda x, k: ksubset.sample(x, k, rng=0, sample_shape=(4,)))(target.array(logits), target.array(k))
    assert (np.isnan(z).all(axis=-1) == [False, True, True, True, False]).all()
    assert (z[:, jax.numpy.array([0, 4])].sum(axis=-1) == 5).all()


def test_an_exported_program_draws_without_kernels(target: Target) -> None:
    keys = jax.random.split(target.rng(0), 2000)
    row = np.array([1.5, -0.3, 0.2, -2.0, 0.7, 0.1])

    def draw(x: Any, keys: Any) -> Any:
        return jax.vmap(lambda key: ksubset.sample(x, 2, rng=key, sample_shape=(5,)))(keys)

    data = jax.random.key_data(keys)
    z = jax.export.export(jax.jit(draw))(target.array(row), data).call(target.array(row), data)
    assert z.shape == (2000, 5, 6)
    check_law(z, row, 2)
