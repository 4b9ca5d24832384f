"""The torch launcher without a GPU: torch's hook is replaced by one that runs the kernels on the CPU."""

import ctypes
import inspect
from functools import lru_cache

import numpy as np
import pytest
from cuda_on_cpu.battery import SEED
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator, compile_kernels
from cuda_on_cpu.nvrtc import NVRTC, library

from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda import calls
from ksubset.backends._cuda.calls import Launch
from ksubset.backends.array_api import ADAPTER

torch = pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")
pytestmark = [NEEDED, OWN_SESSION]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    return lru_cache(lambda real, slab: compile_kernels(folder, calls.source(), real, slab))


@pytest.fixture(params=[200_000, 2_000], ids=["shared", "slab"])
def runtime(request, monkeypatch, build):
    from cuda_on_cpu import torch_hook

    from ksubset.backends.torch import LAZY, cuda

    torch_hook.install(monkeypatch, Emulator(build), request.param)
    return cuda.runtime(LAZY)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["marginals", "log_normalizer", "unchosen", "marginals_jvp", "sample"])
def test_torch_agrees_with_numpy(runtime, dtype, name):
    rng, n, function = np.random.default_rng(0), 40, getattr(functions, name)
    logits, k = rng.normal(size=(3, n)).astype(dtype), np.array([0, 11, 33])
    arrays = {"marginals_jvp": rng.normal(size=(3, n)), "sample": rng.random((2, 3, n - 1))}
    given = [arrays[name].astype(dtype)] if name in arrays else []
    tensors = [torch.from_numpy(x) for x in (logits, k, *given)]
    actual = calls.evaluate(runtime, function, FixedSize(tensors[1], n // 2), tensors[0], *tensors[2:], solution=None)
    expected = ADAPTER.evaluate(function, FixedSize(k, n // 2), logits, *given, solution=None)
    assert actual.dtype == tensors[0].dtype
    tolerance = {"float32": 2e-5, "float64": 1e-13}[dtype]
    np.testing.assert_allclose(actual.numpy(), expected, rtol=tolerance, atol=tolerance / 10)


def test_torch_draws_from_a_seed(runtime):
    drawn = calls.draw(
        runtime, FixedSize(torch.tensor([0, 5, 12]), 6), torch.zeros(3, 12), (4,), seed=torch.from_numpy(SEED)
    )
    np.testing.assert_array_equal(drawn.sum(-1).numpy(), np.broadcast_to([0, 5, 12], (4, 3)))


def test_the_hook_of_this_torch_takes_what_it_is_given():
    from torch.cuda import _utils

    compiling = inspect.signature(torch.cuda._compile_kernel).parameters
    calling = inspect.signature(_utils._CudaKernel.__call__).parameters
    assert {"kernel_source", "kernel_name", "nvcc_options"} <= set(compiling)
    assert list(calling)[1:5] == ["grid", "block", "args", "shared_mem"]


@NVRTC
def test_the_hook_of_this_torch_compiles_the_kernels(monkeypatch):
    """To machine code that knows the kernel by its name; the toolkit that torch looks for need not be one."""
    from torch.cuda import _utils
    from torch.utils import cpp_extension

    monkeypatch.setattr(_utils, "_get_nvrtc_library", lambda: ctypes.CDLL(str(library())))
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", "no such folder")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    options = list(Launch("", "float", False, 0, 0, 0, 0, 0).options)
    code, name = _utils._nvrtc_compile(calls.source(), "ksubset_sample", "90", nvcc_options=options)
    assert name == "ksubset_sample"
    assert b"ksubset_sample" in code
