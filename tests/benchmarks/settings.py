"""Settings of the process, made for one job and undone after it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ksubset.backends._cpu import dispatch
from ksubset.backends._cpu import threads as pool


def require_fast() -> None:
    """See to it that the fast path is on, or raise."""
    os.environ.pop("KSUBSET_FAST", None)
    if reason := dispatch.obstacle():
        raise RuntimeError(f"the benchmark needs the CPU fast path: {reason}")


@contextmanager
def core_alone() -> Iterator[None]:
    """Switch the fast path off."""
    os.environ["KSUBSET_FAST"] = "0"
    try:
        yield
    finally:
        del os.environ["KSUBSET_FAST"]


@contextmanager
def flushing() -> Iterator[None]:
    """Let the calling thread treat subnormal floats as 0, as the floor needs."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Limit torch, and with it the fast path on tensors, and the fast path on NumPy arrays."""
    before = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    _limit(str(threads), threads)
    try:
        yield
    finally:
        _limit(*before)


def _limit(variable: str | None, threads: int) -> None:
    if variable is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    else:
        os.environ["OMP_NUM_THREADS"] = variable
    pool.default_threads.cache_clear()
    torch.set_num_threads(threads)
