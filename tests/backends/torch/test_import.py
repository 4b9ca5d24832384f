"""What an import of the adapter for torch leaves out: Dynamo, which takes a second, and its companions."""

import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")

LATER = {"torch._dynamo", "torch.distributed.tensor"}


def test_a_call_imports_neither_dynamo_nor_dtensors() -> None:
    code = "import sys, torch, ksubset; ksubset.rsample(torch.zeros(2, 4), 2); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    loaded = {*done.stdout.split()}
    assert "ksubset.backends.torch" in loaded
    assert not LATER & loaded
