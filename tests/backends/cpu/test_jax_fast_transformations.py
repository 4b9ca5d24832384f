"""The CPU fast path inside JAX's programs: the answers of the core under every transformation."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
pytest.importorskip("jax", reason="a test of JAX's adapter")
import jax
import jax.export
from conftest import Target
from derivatives import ROWS
from jax_kernels import DOUBLE, K, V, X, answers, check, core, kernels

import ksubset
from ksubset.backends.jax import autodiff

pytestmark = pytest.mark.backends("jax")


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSUBSET_FAST", raising=False)


def test_vmap(target: Target) -> None:
    x, k, v = target.array(X), target.array(K), target.array(V)
    check(jax.vmap(jax.vmap(answers))(x, k, v), core(X, K, V))
    check(jax.jit(jax.vmap(answers))(x, k, v), core(X, K, V))
    over_k = jax.jit(jax.vmap(answers, in_axes=(None, 0, None)))(x[0], k, v[0])
    check(over_k, core(np.stack([X[0]] * 2), K, np.stack([V[0]] * 2)))
    over_logits = jax.vmap(answers, in_axes=(0, None, 0))(x, k[0], v)
    check(over_logits, core(X, np.stack([K[0]] * 2), V))
    over_v = jax.vmap(answers, in_axes=(None, None, 2))(x[0], k[0], jax.numpy.moveaxis(v, 0, 2))
    check(over_v, core(np.stack([X[0]] * 2), np.stack([K[0]] * 2), V))
    columns = jax.jit(jax.vmap(lambda x: ksubset.marginals(x, 4), in_axes=1, out_axes=1))(x[0].T)
    np.testing.assert_allclose(columns, core(X[0], 4, V[0])[0].T, rtol=DOUBLE)
    assert kernels(jax.vmap(jax.vmap(answers)), x, k, v) == 3


def test_in_loops_and_branches(target: Target) -> None:
    x, v = target.array(X[0]), target.array(V[0])

    def body(carry: Any, scale: Any) -> tuple[Any, Any]:
        step = jax.lax.cond(scale > 0, lambda x: v * answers(x, 4, v)[0], lambda x: answers(x, 5, v)[1], carry)
        return carry + scale * step, step

    def plain(x: Any) -> Any:
        for scale in (0.5, -1.0, 2.0):
            x, step = body(x, scale)
        return step

    def looped(x: Any) -> Any:
        return jax.lax.scan(jax.checkpoint(body), x, jax.numpy.array([0.5, -1.0, 2.0]))[1][-1]

    np.testing.assert_allclose(jax.jit(looped)(x), plain(x), rtol=1e-12)
    mapped = jax.lax.map(lambda x: ksubset.marginals(x, 4), x)
    np.testing.assert_allclose(mapped, ksubset.marginals(x, 4), rtol=1e-12)
    ours, theirs = (jax.grad(lambda x, f=f: (f(x) * v).sum())(x) for f in (looped, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


def test_donated_logits(target: Target) -> None:
    donated = jax.jit(lambda x: ksubset.marginals(x, 4), donate_argnums=0)(target.array(X[0]))
    np.testing.assert_allclose(donated, core(X[0], 4, V[0])[0], rtol=DOUBLE)


def test_without_jit_and_among_strict_types(target: Target) -> None:
    with jax.disable_jit():
        check(answers(target.array(X), target.array(K), target.array(V)), core(X, K, V))
    with jax.numpy_dtype_promotion("strict"), jax.checking_leaks():
        check(jax.jit(answers)(target.array(X), target.array(K), target.array(V)), core(X, K, V))


@pytest.mark.parametrize("k", [1, 3, 6])
def test_derivatives_agree_with_enumeration(target: Target, k: int) -> None:
    for row in (row for row in ROWS if row.k == k):
        x, v, truth = target.array(row.logits), target.array(row.v), row.truth
        mu, slope = jax.jvp(lambda x: ksubset.marginals(x, k), (x,), (v,))
        np.testing.assert_allclose(mu, truth.marginals, rtol=1e-12, atol=1e-14)
        for found in (slope, jax.vjp(lambda x: ksubset.marginals(x, k), x)[1](v)[0]):
            np.testing.assert_allclose(found, truth.covariance @ row.v, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(jax.jacrev(lambda x: ksubset.marginals(x, k))(x), truth.covariance, atol=1e-13)
        curvature = jax.hessian(lambda x: ksubset.log_normalizer(x, k))(x)
        np.testing.assert_allclose(curvature, truth.covariance, atol=1e-13)


def test_second_order_goes_on_through_the_core(target: Target) -> None:
    x, v = target.array(X[0, 0]), target.array(V[0, 0])
    step = 1e-5
    up, down = (core(X[0, 0] + s * V[0, 0], 4, V[0, 0])[2] for s in (step, -step))
    expected = (up - down) / (2 * step)

    def product(x: Any) -> Any:
        return ksubset.marginals_jvp(x, 4, v)

    np.testing.assert_allclose(jax.jvp(product, (x,), (v,))[1], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(jax.vjp(product, x)[1](v)[0], expected, rtol=1e-6, atol=1e-9)


def test_the_inverse_map_and_its_derivative(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of calls for both marginals in the loop, and for its derivative another pair, and products."""
    theta, k, v = target.array(X - X.mean(axis=-1, keepdims=True)), target.array(np.clip(K, 1, 8)), target.array(V)
    mu = ksubset.marginals(theta, k)

    def loss(mu: Any, k: Any) -> Any:
        return (ksubset.logits_from_marginals(mu, k) * v).sum()

    assert kernels(ksubset.logits_from_marginals, mu, k) == 2
    np.testing.assert_allclose(ksubset.logits_from_marginals(mu, k), theta, rtol=0, atol=1e-11)
    assert kernels(jax.grad(loss), mu, k) >= 5
    image = ksubset.marginals_jvp(theta, k, jax.jit(jax.grad(loss))(mu, k))
    np.testing.assert_allclose(image, v - v.mean(axis=-1, keepdims=True), rtol=0, atol=1e-11)
    monkeypatch.setattr(autodiff, "several_devices", lambda: True)
    assert kernels(lambda mu: ksubset.logits_from_marginals(mu, 4), mu[0]) == 0


def test_many_callers_at_once(target: Target) -> None:
    x = target.array(np.random.default_rng(0).normal(size=(64, 200)))
    function = jax.jit(lambda x, k: answers(x, k, x))
    sizes = [target.array(np.full(64, k)) for k in range(0, 200, 25)]
    expected = [function(x, k) for k in sizes]

    def agrees(i: int) -> bool:
        return all(bool((a == b).all()) for a, b in zip(function(x, sizes[i % 8]), expected[i % 8], strict=True))

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(agrees, range(80)))


def test_what_stays_with_the_core(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    x = target.array(X)
    assert kernels(lambda x: ksubset.log_prob_count(x, 4), x) == 0
    assert kernels(lambda x: ksubset.entropy(x, ksubset.at_most(4)), x) == 0
    assert ksubset.marginals(x[:0], 4).shape == (0, 3, 9)
    assert kernels(lambda x, u: ksubset.sample_from_uniforms(x, 4, u), x, x[..., 1:]) == 0
    assert kernels(lambda x: ksubset.marginals(x, 4), x) == 1
    z = ksubset.mode(x, 4)
    for function in (
        lambda x: ksubset.marginals(x, 4),
        lambda x: ksubset.log_prob(x, 4, z),
        lambda x: ksubset.kl_divergence(x, -x, 4),
    ):
        exported = jax.export.export(jax.jit(function))(x)
        np.testing.assert_allclose(exported.call(x), function(x), rtol=1e-12)
    monkeypatch.setenv("KSUBSET_FAST", "0")
    assert kernels(lambda x: answers(x, 4, x), x) == 0


def test_show_config_says_why(
    target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ksubset.show_config(target.array(X), 4)
    assert "marginals_jvp: the fast path: " in capsys.readouterr().out
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    ksubset.show_config(target.array(X), 4)
    said = capsys.readouterr().out
    assert "marginals: the fast path: " in said
    assert "sample: the core: samples of 2 devices come from JAX's own generator" in said
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    ksubset.show_config(target.array(X), 4)
    said = capsys.readouterr().out
    assert any(f"marginals: the core: {x}" in said for x in ("CUDA kernels cannot be loaded", "no package that"))
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    ksubset.show_config(target.array(X), 4)
    assert "marginals: the core: these kernels run on the CPU; the default backend" in capsys.readouterr().out


CODE = """
import warnings; warnings.simplefilter("error")
import jax, numpy as np, ksubset
x, k = jax.numpy.linspace(-1, 1, 27).reshape(3, 9), jax.numpy.array([0, 4, 9])
z = ksubset.mode(x, k)
def value(x, k):
    score = ksubset.log_prob(x, k, z) + ksubset.kl_divergence(x, -x, k)
    return ksubset.marginals(x, k) + ksubset.entropy(x, k)[:, None] * ksubset.marginals_jvp(x, k, x) + score[:, None]
function = jax.jit(value)
print(function.lower(x, k).as_text().count("@ksubset_"), jax.device_count(), x.dtype)
wide, sizes = np.asarray(x, float), np.asarray(k)
plain = ksubset.entropy(wide, sizes)[:, None] * ksubset.marginals_jvp(wide, sizes, wide)
score = ksubset.log_prob(wide, sizes, np.asarray(z)) + ksubset.kl_divergence(wide, -wide, sizes)
plain = plain + ksubset.marginals(wide, sizes) + score[:, None]
assert np.allclose(function(x, k), plain, atol=1e-6)
"""


@pytest.mark.parametrize(("devices", "printed"), [(1, "5 1 float32"), (2, "3 2 float32")])
def test_without_x64_and_on_two_devices(target: Target, devices: int, printed: str) -> None:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == printed
