"""Batches of JAX over eight devices, which a process of its own simulates: the same results, and no communication."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="a test of JAX's adapter")

HERE = Path(__file__).parent
KINDS = ("auto", "explicit", "shard_map")


def run(fast: str, script: str, *arguments: str) -> str:
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "KSUBSET_FAST": fast,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("fast", ["0", "1"])
@pytest.mark.parametrize("kind", KINDS)
def test_devices(kind: str, fast: str) -> None:
    if fast == "1":
        pytest.importorskip("numba", reason="the kernels need numba, of the extra fast")
    assert "agrees" in run(fast, "scale_devices.py", kind)


def test_windows() -> None:
    assert "agrees" in run("0", "scale_devices.py", "windows")


@pytest.mark.parametrize("kind", KINDS[:2])
def test_long_row(kind: str) -> None:
    assert "agrees" in run("1", "scale_row.py", kind, "32768", "3000")
