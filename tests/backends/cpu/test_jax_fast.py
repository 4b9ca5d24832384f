"""The CPU fast path inside JAX's programs: the answers of the core, under every transformation."""

import os
import subprocess
import sys
from collections.abc import Callable
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
from fast_cases import FAMILIES, counts_for, rows_of

import ksubset
from ksubset._engine import inference
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends.array_api import NUMPY
from ksubset.backends.jax import ADAPTER, autodiff

pytestmark = pytest.mark.backends("jax")
SINGLE, DOUBLE = 1e-5, 5e-14
X = np.random.default_rng(0).normal(size=(2, 3, 9))
K = np.array([[0, 1, 9], [4, 5, 8]])
V = np.random.default_rng(1).normal(size=X.shape)


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSUBSET_FAST", raising=False)


def answers(logits: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
    """μ, 1 − μ and J · v by JAX."""
    other = ADAPTER.evaluate(functions.unchosen, FixedSize(k, logits.shape[-1] // 2), logits)
    return ksubset.marginals(logits, k), other, ksubset.marginals_jvp(logits, k, v)


def core(logits: np.ndarray, k: Any, v: np.ndarray) -> tuple[Any, Any, Any]:
    """The same by the core, in float64."""
    logits, v = logits.astype(float), v.astype(float)
    with np.errstate(all="ignore"):
        found = inference.moments(NUMPY, logits, k)
        product = inference.jacobian_product(NUMPY, logits, k, v)
    return found.chosen, found.unchosen, product


def check(found: tuple[Any, ...], expected: tuple[Any, ...], tolerance: float = DOUBLE) -> None:
    """Both marginals to their relative accuracy, the product to that of its norm."""
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-30)
    size = np.maximum(np.linalg.norm(expected[2], axis=-1, keepdims=True), 1e-3)
    np.testing.assert_allclose(found[2] / size, expected[2] / size, atol=tolerance)


def kernels(function: Callable[..., Any], *arguments: Any) -> int:
    """How many foreign calls of kernels are in the program of a function."""
    return str(jax.jit(function).lower(*arguments).as_text()).count("@ksubset_")


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


def scalars(logits: Any, k: Any) -> tuple[Any, Any]:
    return ksubset.entropy(logits, k), ksubset.log_normalizer(logits, k)


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
        step = jax.lax.cond(scale > 0, lambda x: answers(x, 4, v)[2], lambda x: answers(x, 5, v)[0], carry)
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
    assert kernels(lambda x: ksubset.kl_divergence(x, x, 4), x) == 0
    assert kernels(lambda x: ksubset.entropy(x, ksubset.at_most(4)), x) == 0
    assert ksubset.marginals(x[:0], 4).shape == (0, 3, 9)
    assert kernels(lambda x, u: ksubset.sample_from_uniforms(x, 4, u), x, x[..., 1:]) == 0
    assert kernels(lambda x: ksubset.marginals(x, 4), x) == 1
    exported = jax.export.export(jax.jit(lambda x: ksubset.marginals(x, 4)))(x)
    np.testing.assert_allclose(exported.call(x), ksubset.marginals(x, 4), rtol=1e-12)
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
    ksubset.show_config(target.array(X), 4)
    assert "marginals: the core: kernels run on the CPU; the default backend of JAX is gpu" in capsys.readouterr().out


CODE = """
import warnings; warnings.simplefilter("error")
import jax, numpy as np, ksubset
x, k = jax.numpy.linspace(-1, 1, 27).reshape(3, 9), jax.numpy.array([0, 4, 9])
def value(x, k):
    return ksubset.marginals(x, k) + ksubset.entropy(x, k)[:, None] * ksubset.marginals_jvp(x, k, x)
function = jax.jit(value)
print(function.lower(x, k).as_text().count("@ksubset_"), jax.device_count(), x.dtype)
wide, sizes = np.asarray(x, float), np.asarray(k)
plain = ksubset.entropy(wide, sizes)[:, None] * ksubset.marginals_jvp(wide, sizes, wide)
plain = plain + ksubset.marginals(wide, sizes)
assert np.allclose(function(x, k), plain, atol=1e-6)
"""


@pytest.mark.parametrize(("devices", "printed"), [(1, "3 1 float32"), (2, "3 2 float32")])
def test_without_x64_and_on_two_devices(target: Target, devices: int, printed: str) -> None:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == printed
