"""One matrix: a test that asks for ``target`` runs on every chosen backend × device.

``KSUBSET_TARGETS`` names the targets to run, separated by spaces. A named target that is absent fails; without the
variable, absent targets are skipped with their true reason.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from transforms import Transforms, transforms

import ksubset  # noqa: F401  (a broken installation should fail here, once)


@dataclass(frozen=True)
class Target:
    """A namespace on a device."""

    name: str
    xp: Any
    device: Any
    rng: Callable[[int], Any]
    dtypes: tuple[str, ...] = ("float32", "float64")
    to_numpy: Callable[[Any], np.ndarray] = field(default=np.asarray)

    @property
    def backend(self) -> str:
        return self.name.partition("-")[0]

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """An array of the target from anything NumPy understands; floats become the target's widest."""
        x = np.asarray(x)
        if dtype is None and x.dtype.kind == "f":
            dtype = self.dtypes[-1]
        if dtype is not None:
            x = x.astype(dtype)
        return self.xp.asarray(x, device=self.device)

    def require(self, dtype: str) -> None:
        """Skip a test of a dtype that the target lacks."""
        if dtype not in self.dtypes:
            pytest.skip(f"{self.name} has no {dtype}")

    def tolerance(self, single: float, double: float) -> float:
        """A tolerance for arrays made by `array` with its default dtype."""
        return double if self.dtypes[-1] == "float64" else single


def _numpy() -> Target:
    return Target("numpy-cpu", np, "cpu", np.random.default_rng, ("float16", "float32", "float64"))


def _strict(name: str) -> Callable[[], Target]:
    def probe() -> Target:
        import array_api_strict as xp

        device = xp.Device({"cpu": "CPU_DEVICE"}.get(name, name))
        dtypes = ("float32",) if name == "no_float64" else ("float32", "float64")
        return Target(f"strict-{name}", xp, device, np.random.default_rng, dtypes, _from_strict)

    return probe


def _from_strict(x: Any) -> np.ndarray:
    import array_api_strict as xp

    return np.asarray(x.to_device(xp.Device("CPU_DEVICE")))


def _torch(device: str) -> Callable[[], Target]:
    def probe() -> Target:
        import array_api_compat.torch as xp
        import torch

        torch.empty(1, device=device)
        torch.set_num_threads(1)

        def rng(seed: int) -> Any:
            return torch.Generator(device).manual_seed(seed)

        return Target(f"torch-{device}", xp, torch.device(device), rng, to_numpy=lambda x: x.detach().cpu().numpy())

    return probe


def _jax(platform: str) -> Callable[[], Target]:
    def probe() -> Target:
        import jax

        jax.config.update("jax_enable_x64", True)
        return Target(f"jax-{platform}", jax.numpy, jax.devices(platform)[0], jax.random.key)

    return probe


def _cupy() -> Target:
    import cupy

    cupy.empty(1)
    return Target("cupy-cuda", cupy, cupy.cuda.Device(0), cupy.random.default_rng, to_numpy=cupy.asnumpy)


PROBES: dict[str, Callable[[], Target]] = {
    "numpy-cpu": _numpy,
    "strict-cpu": _strict("cpu"),
    "strict-device1": _strict("device1"),
    "strict-no_float64": _strict("no_float64"),
    "torch-cpu": _torch("cpu"),
    "torch-cuda": _torch("cuda"),
    "jax-cpu": _jax("cpu"),
    "jax-cuda": _jax("cuda"),
    "cupy-cuda": _cupy,
}
"""Each allocates on its device, because importing proves nothing."""

ASKED = os.environ.get("KSUBSET_TARGETS", "").split()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" not in metafunc.fixturenames:
        return
    if unknown := set(ASKED) - set(PROBES):
        raise pytest.UsageError(f"KSUBSET_TARGETS names unknown targets {sorted(unknown)}; known: {', '.join(PROBES)}")
    names = ASKED or list(PROBES)
    if marker := next(metafunc.definition.iter_markers("backends"), None):
        names = [name for name in names if name.partition("-")[0] in marker.args]
        if not names:
            reason = f"a test of {', '.join(marker.args)} alone; none of them is in KSUBSET_TARGETS"
            reason = marker.kwargs.get("reason", reason)
            metafunc.parametrize("target", [pytest.param("none", marks=pytest.mark.skip(reason=reason))], indirect=True)
            return
    metafunc.parametrize("target", names, indirect=True)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    name = request.param
    try:
        return PROBES[name]()
    except Exception as error:  # each framework has its own way of saying that a device is absent
        if ASKED:
            pytest.fail(f"{name} was asked for and is not usable: {error!r}")
        pytest.skip(f"{name} is not usable here: {type(error).__name__}: {error}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if compared := getattr(sys.modules.get("strategies"), "COMPARED", None):
        counts = ", ".join(f"{target} {count}" for target, count in compared.items())
        terminalreporter.write_line(f"generated cases compared: {counts}")


@pytest.fixture(autouse=True, scope="module")
def forget_programs() -> Iterator[None]:
    """Let JAX drop what it compiled for a file: each program maps memory, and Linux allows 65530 maps."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def diff(target: Target) -> Transforms:
    """The target's own differentiation; ask for it beside ``@differentiable``."""
    return transforms(target.backend)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU fast path whatever the environment says; nothing has been told of masks yet."""
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    monkeypatch.setattr("ksubset._call.masks._told", set())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261124)
