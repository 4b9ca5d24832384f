"""What JAX's users expect beyond the transformations."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from conftest import Target
from derivatives import DIRECTIONS, LOGITS
from significance import check_binomial

import ksubset

pytestmark = pytest.mark.backends("jax")
X = LOGITS[12]


def test_inside_scan_cond_and_checkpoint(target: Target) -> None:
    import jax

    x, g = target.array(X), target.array(DIRECTIONS[0])

    def body(carry: Any, key: Any) -> tuple[Any, Any]:
        z = ksubset.rsample(carry, 3, rng=key)
        carry = jax.lax.cond(z[0] > 0, lambda c: c + 0.1 * ksubset.marginals(c, 3), lambda c: c, carry)
        return carry, (z * g).sum()

    def total(x: Any) -> Any:
        return jax.lax.scan(jax.checkpoint(body), x, jax.random.split(jax.random.key(0), 4))[1].sum()

    plain, carry = 0.0, x
    for key in jax.random.split(jax.random.key(0), 4):
        carry, term = body(carry, key)
        plain += term
    assert float(total(x)) == pytest.approx(float(plain))
    assert np.isfinite(target.to_numpy(jax.grad(total)(x))).all()


def test_rows_that_a_program_has_built_in(target: Target) -> None:
    """Logits and sizes that are constants of the program: XLA evaluates what it can before it runs."""
    import jax

    x = np.tile(np.random.default_rng(8).normal(size=5), (4, 1))
    x[1, 2] = -np.inf
    logits, k = target.array(x), target.array([0, 1, 2, 5])
    found = jax.jit(lambda: (ksubset.log_normalizer(logits, k), ksubset.entropy(logits, k)))()
    expected = ksubset.log_normalizer(x, np.array([0, 1, 2, 5])), ksubset.entropy(x, np.array([0, 1, 2, 5]))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_value_and_grad_vjp_and_linearize(target: Target) -> None:
    import jax

    x, g = target.array(X), target.array(DIRECTIONS[0])
    value, slope = jax.value_and_grad(lambda x: ksubset.log_normalizer(x, 3))(x)
    np.testing.assert_allclose(slope, ksubset.marginals(x, 3))
    assert float(value) == pytest.approx(float(ksubset.log_normalizer(x, 3)))
    expected = ksubset.marginals_jvp(x, 3, g)
    np.testing.assert_allclose(jax.vjp(lambda x: ksubset.marginals(x, 3), x)[1](g)[0], expected)
    np.testing.assert_allclose(jax.linearize(lambda x: ksubset.marginals(x, 3), x)[1](g), expected)


def test_no_leaked_tracers(target: Target) -> None:
    import jax

    with jax.checking_leaks():
        for function in (ksubset.marginals, ksubset.entropy):
            jax.jit(jax.grad(lambda x, f=function: f(x, 2).sum()))(target.array(X))
        jax.jit(jax.grad(lambda x: ksubset.rsample(x, 2, rng=jax.random.key(0)).sum()))(target.array(X))


def test_strict_promotion(target: Target) -> None:
    import jax

    with jax.numpy_dtype_promotion("strict"):
        for dtype in target.dtypes:
            x = target.array(X, dtype)
            for function in (ksubset.marginals, ksubset.entropy, ksubset.log_normalizer, ksubset.mode):
                assert function(x, 3).dtype == x.dtype
            assert ksubset.rsample(x, 3, rng=0).dtype == x.dtype
            assert jax.grad(lambda x: ksubset.entropy(x, 3))(x).dtype == x.dtype


def test_a_backward_pass_keeps_only_the_logits(target: Target) -> None:
    """Of the residuals of a vjp none is larger than the logits: the linearised passes are not stored."""
    import jax

    x = target.array(np.random.default_rng(0).normal(size=(4, 300)), "float32")
    _, pull = jax.vjp(lambda x: ksubset.rsample(x, 100, rng=jax.random.key(0)), x)
    assert max(leaf.size for leaf in jax.tree_util.tree_leaves(pull)) <= x.size


def test_without_x64(target: Target) -> None:
    """In a process of its own, since the switch is global: float32 throughout, no warning, samples and gradients."""
    code = """
import warnings; warnings.simplefilter("error")
import jax, numpy as np, ksubset
x = jax.numpy.linspace(-1, 1, 9)
assert not jax.config.jax_enable_x64
z = ksubset.rsample(x, 4, rng=0, sample_shape=(200,))
assert z.dtype == np.float32 and (z.sum(-1) == 4).all()
g = jax.grad(lambda x: ksubset.entropy(x, np.int32(4)))(x)
assert np.allclose(g, -ksubset.marginals_jvp(x, 4, x), atol=1e-6)
k = jax.numpy.array(3)
assert np.allclose(ksubset.marginals(x, k), ksubset.marginals(x, 3), atol=1e-6)
assert np.isfinite(ksubset.kl_to_uniform(x, k))
print(*z.sum(0))
print(*ksubset.marginals(x, 4))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    chosen, marginals = (np.array(line.split(), float) for line in done.stdout.splitlines())
    check_binomial(chosen, 200, marginals)


def test_indices_in_compiled_and_mapped_programs(target: Target) -> None:
    import jax

    x, k, key = target.array(np.stack([X, X[::-1]])), target.array(np.array([3, 1])), jax.random.key(1)

    def listed(x: Any, k: Any, key: Any) -> Any:
        index = ksubset.sample_indices(x, k, rng=key, max_k=3)
        return index, ksubset.mode_indices(x, k, max_k=3), ksubset.log_prob_indices(x, k, index)

    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        index, mode, score = jax.jit(listed)(x, k, key)
        each = jax.jit(jax.vmap(listed, in_axes=(0, 0, None)))(x, k, key)
    z = target.to_numpy(ksubset.sample(x, k, rng=key, max_k=3))
    for row, found in zip(z, target.to_numpy(index), strict=True):
        assert found[found >= 0].tolist() == np.flatnonzero(row).tolist()
    assert (target.to_numpy(index) >= 0).sum(axis=-1).tolist() == [3, 1]
    assert (target.to_numpy(each[1]) == target.to_numpy(mode)).all()
    np.testing.assert_allclose(
        target.to_numpy(score), target.to_numpy(ksubset.log_prob(x, k, target.array(z))), atol=1e-5
    )
    with jax.debug_nans(True):
        assert np.isfinite(ksubset.log_prob_indices(x, k, index)).all()
