"""What tests need of the system's folders."""

import os

import pytest

needs_owners = pytest.mark.skipif(
    not hasattr(os, "getuid"),
    reason="who may write to a folder is told by its owner and mode, which this system (Windows) does not have",
)
