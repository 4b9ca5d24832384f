"""The CuPy launcher without a GPU: `cupy.RawModule` is replaced by one that runs the kernels on the CPU."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.battery import SEED, check
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator
from cuda_on_cpu.philox import subsets

import ksubset
from ksubset import backends
from ksubset._api.show_config import NAMES
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cpu import dispatch
from ksubset.backends._cuda import calls, geometry
from ksubset.backends._cuda.calls import Runtime
from ksubset.backends._cuda.launch import Launch

pytest.importorskip("cupy", reason="a test of CuPy's adapter, which needs CuPy", exc_type=ImportError)
pytestmark = [NEEDED, OWN_SESSION]


class CurrentDevice(nullcontext):
    id = 0


@pytest.fixture(params=[200_000, 2_000], ids=["shared", "slab"])
def emulator(request, monkeypatch):
    from cuda_on_cpu import cupy_launch

    from ksubset.backends.cupy import cuda

    inner = Emulator()
    outer = Emulator(shared_bytes=request.param)
    like = SimpleNamespace(device=CurrentDevice())

    def run(launch: Launch, arguments: list[Any], _: Any) -> None:
        inner.lent = arguments
        cuda._run(launch, arguments, like)

    outer.runtime = replace(outer.runtime, run=run)
    cupy_launch.install(monkeypatch, inner, 200_000)
    return outer


def test_cupy_launches_every_kernel(emulator):
    check(emulator, np.float32)


def test_the_adapter_imports():
    from ksubset.backends import cupy, load

    assert load("cupy") is cupy.ADAPTER


@pytest.fixture
def launched(monkeypatch, emulator):
    """The kernels launched, as they come; NumPy arrays count as CuPy arrays, and SEED is all that a generator gives."""
    from ksubset.backends import cupy as adapter
    from ksubset.backends.array_api import NUMPY

    names: list[str] = []
    run = emulator.runtime.run
    runtime = replace(emulator.runtime, run=lambda launch, *rest: names.append(launch.kernel) or run(launch, *rest))
    halves = SEED.view(np.uint32) / 2.0**32
    generator = SimpleNamespace(random=lambda size, dtype: halves if size == 2 else np.full(size, 0.5))
    monkeypatch.setitem(backends.REGISTRY, "numpy", "cupy")
    monkeypatch.delitem(backends.KNOWN, np.ndarray, raising=False)
    monkeypatch.setattr(adapter.ADAPTER, "is_array", lambda x, like=None: isinstance(x, np.ndarray))
    monkeypatch.setattr(adapter.ADAPTER, "namespace", lambda x: np)
    monkeypatch.setattr(adapter, "OPS", NUMPY)
    monkeypatch.setattr(adapter, "RUNTIME", runtime)
    monkeypatch.setattr(adapter, "_generator", lambda rng: generator)
    return names


def adapter_runtime() -> Runtime:
    from ksubset.backends import cupy as adapter

    return adapter.RUNTIME


@pytest.mark.parametrize("draw", [ksubset.sample, ksubset.rsample], ids=["sample", "rsample"])
def test_samples_are_drawn_by_the_kernels_own_generator(launched, draw):
    logits, k = np.random.default_rng(1).normal(size=(3, 9)), np.array([0, 4, 7])
    drawn = draw(logits, k, sample_shape=(2, 5))
    assert launched == ["ksubset_sample"]
    tilted = calls.moments(adapter_runtime(), FixedSize(k, 4), logits).tilted
    np.testing.assert_array_equal(drawn, subsets(int(SEED[0]), 10, tilted, k).reshape(2, 5, 3, 9))
    ksubset.sample_from_uniforms(logits, k, np.full((2, 3, 8), 0.25))
    assert launched == ["ksubset_sample", "ksubset_solve", "ksubset_descend"]


def test_samples_with_marginals_are_one_launch(launched):
    logits, k = np.random.default_rng(1).normal(size=(3, 9)), np.array([0, 4, 7])
    z, mu = ksubset.sample_with_marginals(logits, k, sample_shape=(2,))
    assert launched == ["ksubset_sample_with_marginals"]
    np.testing.assert_array_equal(z, ksubset.sample(logits, k, sample_shape=(2,)))
    np.testing.assert_array_equal(mu, ksubset.marginals(logits, k))


def test_several_sizes(launched):
    logits, few = np.random.default_rng(1).normal(size=(3, 9)), ksubset.between(2, 5)
    drawn = ksubset.sample(logits, few, sample_shape=(50,))
    assert launched == ["ksubset_solve", "ksubset_sample"]
    assert set(np.unique(drawn.sum(axis=-1))) <= {2, 3, 4, 5}
    d = ksubset.KSubset(logits, few)
    np.testing.assert_allclose(d.mean.sum(axis=-1), ksubset.marginals(logits, few).sum(axis=-1), rtol=1e-12)
    assert launched[2:] == ["ksubset_solve"] * 2


def test_what_no_block_suits_is_drawn_by_the_core(launched, monkeypatch):
    monkeypatch.setattr(geometry, "MOST_ITEMS", 8)
    assert ksubset.sample(np.zeros(9), 4).sum() == 4
    assert launched == []


def test_both_arguments_of_a_divergence_go_through_the_kernel(launched, monkeypatch):
    logits, other = np.random.default_rng(2).normal(size=(2, 3, 9))
    actual = ksubset.kl_divergence(logits, other, np.array([0, 4, 7]))
    assert launched == ["ksubset_solve"] * 2
    monkeypatch.setitem(backends.REGISTRY, "numpy", "array_api")
    np.testing.assert_allclose(actual, ksubset.kl_divergence(logits, other, np.array([0, 4, 7])), rtol=1e-12)


def test_show_config_says_which_kernels(launched, capsys):
    ksubset.show_config(np.zeros((3, 9)), 4)
    printed = capsys.readouterr().out
    for name in (NAMES.get(function, function) for function in dispatch.FUNCTIONS if function != "mode"):
        assert f"{name}: the CUDA kernels: 4 threads to a row, blocks of 64 threads" in printed
