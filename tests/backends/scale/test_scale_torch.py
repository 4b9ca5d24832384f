"""Torch over processes of gloo: DTensors spread by rows, without communication, and data-parallel training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="a test of torch's adapter")

HERE = Path(__file__).parent


def run(kind: str, fast: str) -> str:
    environment = os.environ | {
        "KSUBSET_FAST": fast,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, str(HERE / "scale_ranks.py"), kind]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["batches", "meshes", "errors", "ddp"])
@pytest.mark.parametrize("fast", ["0", "1"])
def test_processes(fast: str, kind: str) -> None:
    if fast == "1":
        pytest.importorskip("numba", reason="the kernels need numba, of the extra fast")
    assert "agrees" in run(kind, fast)
