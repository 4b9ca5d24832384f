"""The CPU fast path under threads, under fork, and what it says when it compiles."""

import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target

from ksubset._law import functions
from ksubset.backends import find
from ksubset.backends._cpu import calls

LOGITS = np.random.default_rng(0).normal(size=(512, 350)).astype(np.float32)


def answers(threads):
    z, shifts = calls.sample(LOGITS, 10, 3, threads=threads)
    return z, calls.jacobian_product(LOGITS, 10, z, shifts=shifts, threads=threads), calls.moments(LOGITS, 10).chosen


def same(ours, theirs):
    return all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_the_number_of_threads_changes_nothing():
    expected = answers(1)
    assert all(same(answers(threads), expected) for threads in (2, 3, 5))


def test_many_callers_at_once():
    expected = answers(1)
    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(lambda _: same(answers(2), expected), range(80)))


def test_a_part_keeps_what_it_reads(monkeypatch):
    """It may outlive the call, where an interrupt ends the wait for it."""
    parts = []
    monkeypatch.setattr("ksubset.backends._cpu.threads.run", lambda part, *_: parts.append(part))
    arrays = [LOGITS.copy(), np.full(len(LOGITS), 10), LOGITS.copy()]
    alive = [weakref.ref(x) for x in arrays]
    calls.jacobian_product(*arrays, threads=2)
    del arrays
    assert all(x() is not None for x in alive)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning")  # the latter JAX's
def test_children_forked_while_the_pool_works():
    expected = answers(2)
    with ThreadPoolExecutor(1) as busy:
        work = busy.submit(lambda: [answers(2) for _ in range(30)])
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if same(answers(2), expected) else 1)
            assert os.waitpid(child, 0)[1] == 0
        work.result()


@pytest.mark.slow
def test_works_uncached_with_a_warning():
    script = """
import numpy as np
from numba.core import caching
caching.FunctionCache._impl_class._locator_classes = []
from ksubset.backends._cpu import calls
print(calls.moments(np.zeros((1, 4)), 2).chosen)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[[0.5", "0.5", "0.5", "0.5]]"]
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1
    assert done.stderr.count("compiling CPU kernels") == 1


@pytest.mark.slow
def test_compiling_is_logged_once_in_a_process_and_never_from_the_cache(tmp_path):
    script = """
import logging, sys
import numba, numpy as np
import ksubset
logging.basicConfig(format="%(name)s: %(message)s")
for dtype in sys.argv[1:]:
    for rows in (1, 9):
        ksubset.marginals(np.zeros((rows, 4), dtype), 2)
numba.njit(lambda x: x)(1)  # somebody else's
"""

    def logged(*dtypes):
        command = [sys.executable, "-c", script, *dtypes]
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "KSUBSET_FAST": "1"}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stderr.splitlines()

    single, again, both, warm = (logged(*d) for d in (["float32"], ["float32"], ["float32", "float64"], ["float64"]))
    assert again == warm == []
    assert len(single) == len(both) == 1
    assert single[0].startswith("ksubset: compiling CPU kernels")


@pytest.mark.backends("numpy", "torch")
def test_small_calls_leave_the_threads_of_blas_asleep(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would wait for processors on which threads of torch spin; BLAS starts them from 10,000 entries on."""
    monkeypatch.delenv("KSUBSET_FAST", raising=False)
    sizes: list[int] = []
    vdot = np.vdot
    monkeypatch.setattr(np, "vdot", lambda x, y: sizes.append(x.size) or vdot(x, y))
    rows = np.random.default_rng(0).normal(size=(1500, 20))
    adapter = find(target.array(rows), "logits")
    assert adapter.at_once(functions.marginals, target.array(rows), 10) is not None
    assert max(sizes) < 10_000
    assert sum(sizes) == rows.size
    for place in (0, rows.size // 2, rows.size - 1):
        for value in (np.nan, np.inf, 1e200):
            wrong = rows.copy()
            wrong.flat[place] = value
            assert adapter.at_once(functions.marginals, target.array(wrong), 10) is None
