"""The CPU fast path under threads, under fork, and where its cache cannot be written."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from ksubset.backends import _cpu

LOGITS = np.random.default_rng(0).normal(size=(512, 350)).astype(np.float32)


def answers(threads):
    z, shift = _cpu.sample(LOGITS, 10, 3, threads=threads)
    return z, _cpu.jacobian_product(LOGITS, 10, z[0], shift=shift, threads=threads), _cpu.solve(LOGITS, 10).chosen


def same(ours, theirs):
    return all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_the_number_of_threads_changes_nothing():
    expected = answers(1)
    assert all(same(answers(threads), expected) for threads in (2, 3, 5))


def test_many_callers_at_once():
    expected = answers(1)
    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(lambda _: same(answers(2), expected), range(80)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
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
from ksubset.backends import _cpu
print(_cpu.solve(np.zeros((1, 4)), 2).chosen)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[[0.5", "0.5", "0.5", "0.5]]"]
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1
    assert done.stderr.count("compiling CPU kernels") == 1
