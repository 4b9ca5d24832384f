"""NVIDIA's run-time compiler, which needs no GPU and no driver."""

from importlib.util import find_spec
from pathlib import Path

import pytest


def library() -> Path | None:
    """NVRTC as installed by the package ``nvidia-cuda-nvrtc``."""
    spec = find_spec("nvidia")
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = [path for folder in folders for path in sorted(Path(folder).glob("**/libnvrtc.so.*"))]
    return found[-1] if found else None


NVRTC = pytest.mark.skipif(library() is None, reason="the package nvidia-cuda-nvrtc is not installed")
