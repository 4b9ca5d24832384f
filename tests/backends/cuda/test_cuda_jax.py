"""JAX's programs for CUDA, without a GPU: XLA calls the handler, that the driver's launch, and this the emulator."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import driver
from cuda_on_cpu.cases import JACOBIAN, LOGITS, OTHER, POTENTIAL, RNG, SAMPLE, SOLVE, SUBSETS, K, N, V
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator
from cuda_on_cpu.philox import subsets

import ksubset
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda import calls

jax = pytest.importorskip("jax", reason="a test of JAX's adapter, which needs JAX")
pytest.importorskip("numba", reason="XLA launches CUDA kernels by a function that Numba compiles")
pytestmark = [NEEDED, OWN_SESSION]

COUNTS = np.array([[0], [7]])


@pytest.fixture
def below(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The driver beneath XLA; programs compute in float64."""
    driver.need()
    from cuda_on_cpu import xla_launch

    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    found = driver.Driver(monkeypatch, Emulator())
    with jax.enable_x64(True), xla_launch.installed(monkeypatch, found.emulator):
        yield found
    if found.error:
        raise found.error
    assert {*found.streams} <= {4711}


@pytest.fixture
def emulator(below: driver.Driver) -> Emulator:
    return below.emulator


def launched(emulator: Emulator) -> list[str]:
    """The kernels since last asked."""
    names = [launch.kernel for launch in emulator.launches]
    emulator.launches.clear()
    return names


def same(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance / 10)


CALLS: dict[str, tuple[tuple[np.ndarray, ...], list[str]]] = {
    "log_normalizer": ((), [SOLVE]),
    "marginals": ((), [SOLVE]),
    "entropy": ((), [SOLVE]),
    "marginals_jvp": ((V,), [JACOBIAN]),
    "log_prob": ((SUBSETS,), [SOLVE]),
    "kl_to_uniform": ((), [SOLVE]),
    "mode": ((), []),
}
"""Further arguments of the public functions, and what they launch."""


@pytest.mark.parametrize("k", [K, COUNTS], ids=["k", "k by row"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_values(emulator: Emulator, wrap: Any, name: str, k: Any) -> None:
    arrays, kernels = CALLS[name]
    function = getattr(ksubset, name)
    given = [jax.numpy.asarray(x) for x in arrays]
    count = k if isinstance(k, int) else jax.numpy.asarray(k)
    actual = jax.block_until_ready(wrap(lambda x, *y: function(x, count, *y))(jax.numpy.asarray(LOGITS), *given))
    assert launched(emulator) == kernels
    same(actual, function(LOGITS, k, *arrays))


WEIGHTED: dict[str, tuple[tuple[np.ndarray, ...], list[str]]] = {
    "log_normalizer": ((), [SOLVE]),
    "marginals": ((), [SOLVE]),
    "entropy": ((), [SOLVE]),
    "marginals_jvp": ((V,), [SOLVE, JACOBIAN]),
    "log_prob": ((SUBSETS,), [SOLVE]),
    "mode": ((), []),
}
"""The same under a potential."""


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_values_under_a_potential(emulator: Emulator, wrap: Any, name: str) -> None:
    arrays, kernels = WEIGHTED[name]
    function = getattr(ksubset, name)
    given = [jax.numpy.asarray(x) for x in arrays]
    call = wrap(lambda x, *y: function(x, POTENTIAL, *y))
    actual = jax.block_until_ready(call(jax.numpy.asarray(LOGITS), *given))
    assert launched(emulator) == kernels
    same(actual, function(LOGITS, POTENTIAL, *arrays), 1e-11)


def test_samples_under_a_potential(emulator: Emulator) -> None:
    """Many draws, by their moments, for two keys in one launch; and the gradient."""
    x, g = jax.numpy.asarray(LOGITS), RNG.normal(size=(2, 3, N))
    keys = jax.random.split(jax.random.key(9), 2)
    draw = partial(ksubset.sample, sample_shape=(2000,))
    z = np.asarray(jax.vmap(lambda key: draw(x, POTENTIAL, rng=key))(keys))
    assert launched(emulator) == [SOLVE, SAMPLE]
    assert (z[0] != z[1]).any()
    mean = ksubset.marginals(LOGITS, POTENTIAL)
    assert (np.abs(z.mean(axis=1) - mean) < 6 * np.sqrt(mean * (1 - mean) / 2000)).all()
    assert set(np.unique(z.sum(axis=-1))) == {2, 3, 4, 5, 6}
    gradient = jax.grad(lambda x: (ksubset.rsample(x, POTENTIAL, rng=keys[0]) * g).sum())(x)
    assert set(launched(emulator)) == {SOLVE, SAMPLE, JACOBIAN}
    same(gradient, ksubset.marginals_jvp(LOGITS, POTENTIAL, g), 1e-11)


def test_many_sizes_take_array_code(emulator: Emulator) -> None:
    x = np.zeros((2, 40))
    same(ksubset.marginals(jax.numpy.asarray(x), ksubset.at_most(40)), ksubset.marginals(x, ksubset.at_most(40)), 1e-11)
    assert launched(emulator) == []


def test_single_precision_and_a_bad_row(emulator: Emulator) -> None:
    logits, k = LOGITS.astype(np.float32).reshape(6, N), np.array([0, 10, 3, -1, 9, 4])
    found = np.asarray(jax.jit(ksubset.marginals)(jax.numpy.asarray(logits), jax.numpy.asarray(k)))
    assert launched(emulator) == [SOLVE]
    np.testing.assert_array_equal(np.isnan(found).all(axis=-1), [False, True, False, True, False, False])
    good = [0, 2, 4, 5]
    same(found[good], ksubset.marginals(logits[good], k[good]), 4e-6)


def test_a_divergence(emulator: Emulator) -> None:
    x, y = jax.numpy.asarray(LOGITS), jax.numpy.asarray(OTHER)
    same(ksubset.kl_divergence(x, y, K), ksubset.kl_divergence(LOGITS, OTHER, K))
    assert set(launched(emulator)) == {SOLVE}


def drawn(emulator: Emulator, seed: tuple[int, int], logits: np.ndarray, k: int, draws: int) -> np.ndarray:
    """What the kernel draws, by the reference."""
    tilted = calls.moments(Emulator().runtime, FixedSize(k, k), logits).tilted
    return subsets(seed[1] << 32 | seed[0], draws, tilted, np.full(len(logits), k))


def test_samples_are_the_kernels_and_have_its_gradient(emulator: Emulator) -> None:
    key, x, rows = jax.random.key(7), jax.numpy.asarray(LOGITS), LOGITS.reshape(-1, N)
    words = tuple(map(int, jax.random.key_data(key)))
    g = RNG.normal(size=(5, 2, 3, N))

    @jax.jit
    def loss(x: Any) -> Any:
        z = ksubset.rsample(x, K, rng=key, sample_shape=(5,))
        return (z * g).sum(), z

    (_, z), gradient = jax.block_until_ready(jax.value_and_grad(loss, has_aux=True)(x))
    assert launched(emulator) == [SAMPLE, JACOBIAN]
    np.testing.assert_array_equal(z, drawn(emulator, words, rows, K, 5).reshape(5, 2, 3, N))
    same(gradient, ksubset.marginals_jvp(LOGITS, K, g.sum(0)))


def test_a_batch_of_keys_is_one_launch(emulator: Emulator) -> None:
    keys, rows = jax.random.split(jax.random.key(8), 3), LOGITS.reshape(-1, N)
    sample = partial(ksubset.sample, sample_shape=(4,))
    z = jax.block_until_ready(jax.vmap(lambda key: sample(jax.numpy.asarray(rows), K, rng=key))(keys))
    assert launched(emulator) == [SAMPLE]
    for i, words in enumerate(np.asarray(jax.random.key_data(keys))):
        np.testing.assert_array_equal(z[i], drawn(emulator, tuple(map(int, words)), rows, K, 4))


def test_no_rows_are_no_launch(emulator: Emulator) -> None:
    nothing = jax.numpy.zeros((0, N))
    assert jax.vmap(lambda row: ksubset.marginals(row, K))(nothing).shape == (0, N)
    sample = jax.vmap(lambda row: ksubset.sample(row, K, rng=3, sample_shape=(2,)))
    assert sample(nothing).shape == (0, 2, N)
    assert launched(emulator) == []


def test_the_current_device_stays_so(below: driver.Driver) -> None:
    """Whoever shares the thread, as torch, has chosen it."""
    from cuda.bindings import driver as bindings

    bindings.cuCtxSetCurrent(0)
    jax.block_until_ready(jax.jit(lambda x: ksubset.marginals(x, K))(jax.numpy.asarray(LOGITS)))
    assert int(bindings.cuCtxGetCurrent()[1]) == 0


def test_transformations(emulator: Emulator) -> None:
    x, v = jax.numpy.asarray(LOGITS), jax.numpy.asarray(V)
    same(jax.vmap(jax.vmap(lambda row: ksubset.marginals(row, K)))(x), ksubset.marginals(LOGITS, K))
    assert launched(emulator) == [SOLVE]
    gradient = jax.jit(jax.grad(lambda x: ksubset.entropy(x, K).sum()))(x)
    same(gradient, -ksubset.marginals_jvp(LOGITS, K, LOGITS))
    same(jax.jvp(lambda x: ksubset.marginals(x, K), (x,), (v,))[1], ksubset.marginals_jvp(LOGITS, K, V))


def test_what_the_driver_refuses_is_an_error(below: driver.Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("no launch today")

    monkeypatch.setattr(below.emulator, "execute", refuse)
    with pytest.raises(Exception, match="the CUDA driver refuses to launch a kernel of ksubset"):
        jax.block_until_ready(ksubset.marginals(jax.numpy.asarray(LOGITS), K))
    assert str(below.error) == "no launch today"
    below.error = None


def test_show_config_says_who_launches(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ksubset.show_config(jax.numpy.asarray(LOGITS), K)
    said = capsys.readouterr().out
    assert "marginals: the CUDA kernels: 4 threads to a row, blocks of 64 threads, launched by XLA" in said
    assert "mode: the core: a sort is all it takes" in said


def test_exported_programs_hold_no_call(emulator: Emulator) -> None:
    from jax import export

    found = export.export(jax.jit(lambda x: ksubset.marginals(x, K)), platforms=["cuda"])(jax.numpy.asarray(LOGITS))
    assert "@ksubset" not in found.mlir_module()


def test_programs_for_cuda_name_the_handler_and_no_address(emulator: Emulator) -> None:
    traced = jax.jit(lambda x: ksubset.marginals(x, K)).trace(jax.numpy.asarray(LOGITS))
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("@ksubset_cuda(") == 1
    numbers = [int(x) for x in text.split("numbers = dense<[")[1].split("]")[0].split(",")]
    assert max(numbers) < 1 << 20
