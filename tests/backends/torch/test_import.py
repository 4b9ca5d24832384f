"""What an import of the adapter for torch leaves out: Dynamo, which takes a second, and its companions."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")

LATER = {"torch._dynamo", "torch.distributed.tensor"}


def test_a_call_imports_neither_dynamo_nor_dtensors() -> None:
    code = "import sys, torch, ksubset; ksubset.rsample(torch.zeros(2, 4), 2); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    loaded = {*done.stdout.split()}
    assert "ksubset.backends.torch" in loaded
    assert not LATER & loaded


def test_dynamo_still_takes_the_choice_of_a_launcher_for_a_constant() -> None:
    """The mark is set by hand: it is the one that torch sets."""
    from ksubset.backends.torch import cuda

    marks = vars(torch.compiler.assume_constant_result(lambda index: True))
    assert marks
    assert marks.items() <= vars(cuda._launches).items()
