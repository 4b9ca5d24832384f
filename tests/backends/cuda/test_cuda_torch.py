"""The launchers of CUDA tensors without a GPU: `cuda.core` with a driver that runs the kernels on the CPU, and CuPy."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import driver
from cuda_on_cpu.battery import SEED, all_blocks_to_a_row
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator

import ksubset
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda import calls, evaluation, launchers
from ksubset.backends._cuda.launch import TRIAL
from ksubset.backends._cuda.launchers import Launcher
from ksubset.backends.array_api import ADAPTER

torch = pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")
pytestmark = [NEEDED, OWN_SESSION]


@pytest.fixture
def by_cuda_core(monkeypatch) -> Iterator[driver.Driver]:
    """The driver beneath `cuda.core`."""
    driver.need()
    found = driver.Driver(monkeypatch, Emulator())
    yield found
    if found.error:
        raise found.error


@pytest.fixture(params=["cuda.core", "CuPy"])
def launched(request, monkeypatch) -> tuple[Emulator, Launcher, list[Any]]:
    """The emulator that one of the launchers ends in, the launcher, and the streams as they come."""
    if request.param == "cuda.core":
        found = request.getfixturevalue("by_cuda_core")
        from ksubset.backends._cuda.by_cuda_core import run

        return found.emulator, Launcher("cuda.core", run), found.streams
    pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    from cuda_on_cpu import cupy_launch

    from ksubset.backends._cuda.by_cupy import run

    emulator = Emulator()
    return emulator, Launcher("CuPy", run), cupy_launch.install(monkeypatch, emulator, 200_000)


@pytest.fixture(params=[200_000, 300], ids=["shared", "slab"])
def runtime(request, monkeypatch, launched):
    from cuda_on_cpu import torch_launch

    from ksubset.backends.torch import cuda
    from ksubset.backends.torch.ops import LAZY

    emulator, launcher, streams = launched
    torch_launch.install(monkeypatch, emulator, request.param, launcher)
    yield cuda.runtime(LAZY)
    assert set(streams) == {torch_launch.STREAM}
    assert len(streams) == len(emulator.launches)
    assert {launch.slab for launch in emulator.launches} <= {None, request.param == 300}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["marginals", "log_normalizer", "unchosen", "marginals_jvp", "sample"])
def test_torch_agrees_with_numpy(runtime, dtype, name):
    rng, n, function = np.random.default_rng(0), 40, getattr(functions, name)
    logits, k = rng.normal(size=(3, n)).astype(dtype), np.array([0, 11, 33])
    arrays = {"marginals_jvp": rng.normal(size=(3, n)), "sample": rng.random((2, 3, n - 1))}
    given = [arrays[name].astype(dtype)] if name in arrays else []
    tensors = [torch.from_numpy(x) for x in (logits, k, *given)]
    actual = evaluation.evaluate(
        runtime, function, FixedSize(tensors[1], n // 2), tensors[0], *tensors[2:], solution=None
    )
    expected = ADAPTER.evaluate(function, FixedSize(k, n // 2), logits, *given, solution=None)
    assert actual.dtype == tensors[0].dtype
    tolerance = {"float32": 2e-5, "float64": 1e-13}[dtype]
    np.testing.assert_allclose(actual.numpy(), expected, rtol=tolerance, atol=tolerance / 10)


def test_torch_draws_from_a_seed(runtime):
    law = FixedSize(torch.tensor([0, 5, 12] * 7), 6)
    drawn, tilts = calls.draw(runtime, law, torch.zeros(21, 12), (4,), torch.from_numpy(SEED))
    assert tilts.shape == (2, 21)
    np.testing.assert_array_equal(drawn.sum(-1).numpy(), np.broadcast_to([0, 5, 12] * 7, (4, 21)))


def test_blocks_that_share_a_row_are_launched_together(runtime, launched):
    with all_blocks_to_a_row():
        drawn, _ = calls.draw(runtime, FixedSize(90, 90), torch.zeros(2, 700), (3,), torch.from_numpy(SEED))
    assert (drawn.sum(-1) == 90).all()
    assert [(launch.wide, launch.blocks) for launch in launched[0].launches] == [(True, 3)]


def test_what_is_launched_is_what_was_planned(launched):
    emulator, launcher, streams = launched
    launch = replace(TRIAL, blocks=7, threads=96, shared_bytes=199_000)
    launcher.run(launch, [], 0, 0)  # on the default stream, whose address is null
    assert emulator.launches == [launch]
    assert not streams[0]


def test_more_shared_memory_than_a_block_has_is_an_error(launched):
    with pytest.raises(Exception, match="acceptable range"):
        launched[1].run(replace(TRIAL, shared_bytes=200_001), [], 0, 0)
    assert launched[0].launches == []


def test_a_thread_without_a_context_gets_one(by_cuda_core):
    """As autograd's own."""
    from ksubset.backends._cuda.by_cuda_core import run

    thread = threading.Thread(target=run, args=(TRIAL, [], 0, 1))
    thread.start()
    thread.join()
    assert by_cuda_core.streams == [1]


def test_cupy_takes_a_stream_by_its_address():
    """CuPy's own class, which asks no device."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    from ksubset.backends._cuda.by_cupy import _Foreign

    assert cupy.cuda.Stream.from_external(_Foreign(4711)).ptr == 4711


@pytest.fixture
def modules(monkeypatch) -> dict[str, Any]:
    """What is imported to launch kernels, by the names of our modules; cuda-core 1.2 and CuPy 14 are installed."""
    found: dict[str, Any] = {}
    versions = {"cuda.core 1.2": "by_cuda_core", "CuPy 14": "by_cupy"}
    monkeypatch.setattr(launchers, "installed", lambda: versions)
    monkeypatch.setattr(launchers, "import_module", lambda name: found[name.rpartition(".")[2]])
    return found


def failing(*arguments: Any) -> None:
    raise RuntimeError("no driver\nin a long text")


def test_the_first_launcher_that_works_is_taken(modules):
    tried = []
    works = SimpleNamespace(run=lambda *arguments: tried.append(arguments))
    modules |= {"by_cuda_core": works, "by_cupy": works}
    assert launchers.find(1, 5, "13.0") == Launcher("cuda.core 1.2", works.run)
    modules["by_cuda_core"] = SimpleNamespace(run=failing)
    assert launchers.find(1, 5, "13.0") == Launcher("CuPy 14", works.run)
    assert tried == [(TRIAL, [], 1, 5)] * 2


def test_where_none_works_each_says_why(modules):
    modules |= {"by_cuda_core": SimpleNamespace(run=failing)}
    expected = "cuda.core 1.2 fails, RuntimeError: no driver; CuPy 14 fails, KeyError: 'by_cupy'"
    assert launchers.find(0, 0, "13.0") == expected


@pytest.mark.parametrize(("version", "extra"), [("12.8", "cuda12"), ("13.0", "cuda13")])
def test_what_to_install(monkeypatch, version, extra):
    monkeypatch.setattr(launchers, "PACKAGES", (("no-such-package", "nothing", ""),))
    assert launchers.installed() == {}
    assert f"the extra {extra} has one, cuda.core" in launchers.find(0, 0, version)


@pytest.mark.parametrize("found", [{"cuda.core 1.2": ""}, {}], ids=["cuda.core", "nothing"])
def test_show_config_says_what_launches_or_what_to_install(monkeypatch, capsys, found):
    monkeypatch.setattr(launchers, "installed", lambda: found)
    ksubset.show_config()
    said = "kernels launched by cuda.core 1.2" if found else f"the core, {launchers.absent()}"
    assert f"\nCUDA tensors of torch: {said}\n" in capsys.readouterr().out


def test_a_graph_does_not_capture_the_first_call(monkeypatch):
    from ksubset.backends.torch import cuda

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="before a CUDA graph captures a call of ksubset, make the call once"):
        cuda.launcher.__wrapped__(0)


def test_old_devices_are_refused(by_cuda_core, monkeypatch):
    from ksubset.backends._cuda import by_cuda_core as module

    monkeypatch.setattr(module, "OLDEST", (9, 1))
    with pytest.raises(RuntimeError, match=r"need a device of compute capability .* or later; got 9\.0"):
        module.run(TRIAL, [], 0, 0)


def test_a_launcher_is_chosen_on_torchs_stream_and_device(monkeypatch):
    from ksubset.backends.torch import cuda

    asked = []
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "device", lambda index: asked.append(index) or pytest.MonkeyPatch.context())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: SimpleNamespace(cuda_stream=4711))
    monkeypatch.setattr(launchers, "find", lambda *arguments: arguments)
    assert cuda.launcher.__wrapped__(3) == (3, 4711, "13.0")
    assert asked == [3]
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "ROCm" in cuda.launcher.__wrapped__(3)
