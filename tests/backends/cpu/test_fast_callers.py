"""The CPU fast path from many callers at once, through the public functions: threads, pools in pools, forked loaders.

Every answer is compared bit by bit with that of the same call made alone.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from queue import SimpleQueue
from time import monotonic
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target

import ksubset
from ksubset.backends._cpu import threads

SHORT, LONG = 3, 60
"""Seconds that callers work."""
PATIENCE = 60
"""Seconds more after which callers that have not come back are taken to wait for each other in a circle."""
CALLERS = 8
SPLIT = 3
"""Threads that each call may take, whatever the number of processors."""
KINDS = (
    ((512, 350), 10, "float32", ()),
    ((96, 1000), 100, "float64", ()),
    ((2, 9000), 40, "float32", (3,)),
    ((2, 5), 2, "float64", ()),
    ((3, 30, 128), 64, "float32", (4,)),
    ((40, 257), None, "float64", (5,)),
)
"""Shape of the logits, k (None: one for each row), dtype, and sample_shape."""

pytestmark = pytest.mark.backends("torch")


@dataclass(frozen=True)
class Call:
    """An `rsample` and its backward pass: the arguments, and the weights of the loss."""

    logits: Any
    k: Any
    g: Any
    seed: int

    def answer(self) -> tuple[Any, Any]:
        import torch

        logits = self.logits.clone().requires_grad_()
        draws = tuple(self.g.shape[: self.g.ndim - logits.ndim])
        z = ksubset.rsample(logits, self.k, rng=self.seed, sample_shape=draws)
        (gradient,) = torch.autograd.grad((z * self.g).sum(), logits)
        return z.detach(), gradient


def call(target: Target, seed: int) -> Call:
    rng = np.random.default_rng(seed)
    shape, k, dtype, draws = KINDS[seed % len(KINDS)]
    counts = target.array(rng.integers(0, shape[-1] + 1, size=shape[:-1])) if k is None else k
    logits, g = (target.array(rng.normal(size=s), dtype) for s in (shape, (*draws, *shape)))
    return Call(logits, counts, g, seed)


def same(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> bool:
    return all(bool((a == b).all()) for a, b in zip(ours, theirs, strict=True))


@pytest.fixture
def alone(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Call, tuple[Any, Any]]]]:
    """Calls, and their answers while nobody else calls; after that, calls are split over threads."""
    import torch

    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    monkeypatch.setattr(threads, "default_threads", lambda: SPLIT)
    found = [(c, c.answer()) for c in (call(target, seed) for seed in range(2 * len(KINDS)))]
    torch.set_num_threads(SPLIT)
    yield found
    torch.set_num_threads(1)


def together(tasks: list[Callable[[], bool]], seconds: float) -> list[bool | BaseException]:
    """Results of tasks, each in a thread that nothing waits for if it does not come back in time."""
    results: SimpleQueue[bool | BaseException] = SimpleQueue()

    def report(task: Callable[[], bool]) -> None:
        try:
            results.put(task())
        except BaseException as error:
            results.put(error)

    for task in tasks:
        threading.Thread(target=report, args=(task,), daemon=True).start()
    deadline = monotonic() + seconds
    return [results.get(timeout=max(0.0, deadline - monotonic())) for _ in tasks]


@pytest.mark.parametrize("seconds", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_callers_of_many_shapes(alone: list[tuple[Call, tuple[Any, Any]]], seconds: int) -> None:
    end = monotonic() + seconds

    def work(first: int) -> bool:
        for own, expected in islice(cycle(alone), first, None):
            if not same(own.answer(), expected):
                return False
            if monotonic() > end:
                break
        return True

    tasks = [partial(work, first) for first in range(CALLERS)]
    assert together(tasks, seconds + PATIENCE) == [True] * CALLERS


def test_pools_in_pools(alone: list[tuple[Call, tuple[Any, Any]]]) -> None:
    """A pool's tasks call beside the thread that waits for them, on two levels."""

    def check(pair: tuple[Call, tuple[Any, Any]]) -> bool:
        return same(pair[0].answer(), pair[1])

    def work(level: int) -> bool:
        with ThreadPoolExecutor(2) as pool:
            deeper = [pool.submit(work, level - 1) for _ in range(3 if level else 0)]
            beside = pool.map(check, alone)
            return all([*map(check, reversed(alone)), *beside, *(task.result() for task in deeper)])

    assert together([partial(work, 2)], PATIENCE) == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning")
@pytest.mark.usefixtures("alone")
def test_workers_of_a_loader(target: Target) -> None:
    """Forked after the parent's threads have worked; a worker's tensors get one thread, its NumPy arrays `SPLIT`."""
    from torch.utils.data import DataLoader

    logits = np.random.default_rng(0).normal(size=(512, 350))
    tensor, seeds = target.array(logits), list(range(8))

    def draw(batch: list[int]) -> list[np.ndarray]:
        drawn = [(ksubset.sample(tensor, 9, rng=s).numpy(), ksubset.sample(logits, 9, rng=s)) for s in batch]
        return [z for pair in drawn for z in pair]

    expected = [draw([seed]) for seed in seeds]
    assert threads._pool.size
    loader = DataLoader(
        seeds, num_workers=2, multiprocessing_context="fork", batch_size=1, collate_fn=draw, timeout=PATIENCE
    )
    assert [same(ours, theirs) for ours, theirs in zip(loader, expected, strict=True)] == [True] * len(seeds)
