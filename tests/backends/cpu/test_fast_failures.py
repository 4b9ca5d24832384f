"""What kernels leave behind: no result where memory runs out, and a thread whose subnormal numbers are not flushed."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from conftest import Target
from numba import int64, njit
from numba.core.errors import NumbaError

import ksubset
from ksubset.backends import _cpu
from ksubset.backends._cpu import compiling, planning
from ksubset.backends._cpu.simd.lanes import ITEMS

KERNELS = Path(_cpu.__file__).parent / "kernels"
SMALLEST = {"float32": np.float32(1e-45), "float64": np.float64(5e-324)}
ROWS = np.random.default_rng(0).normal(size=(20, 30))
SIZES = {"recursion": 5, "contour": 15, "potential": ksubset.at_most(4)}


def answers(x: Any, k: Any) -> list[Any]:
    """By every kernel that takes such a size."""
    z, v = ksubset.sample(x, k, rng=0), x * 2
    return [
        z,
        ksubset.marginals(x, k),
        ksubset.marginals_jvp(x, k, v),
        ksubset.entropy(x, k),
        ksubset.log_normalizer(x, k),
        ksubset.log_prob(x, k, z),
        ksubset.kl_divergence(x, v, k),
        ksubset.mode(x, k),
        ksubset.count_log_pmf(x),
    ]


def keeps_subnormals(dtype: str) -> bool:
    least = np.full(64, SMALLEST[dtype])
    return bool((least * least.dtype.type(1) > 0).all())


@pytest.mark.backends("numpy", "torch")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rows", [1, 20])
def test_the_callers_subnormal_numbers_are_kept(target: Target, rows: int, size: str, dtype: str) -> None:
    """By arithmetic on the calling thread, on which small calls run."""
    assert keeps_subnormals(dtype)
    assert len(answers(target.array(ROWS[:rows], dtype), SIZES[size])) == 9
    assert keeps_subnormals(dtype)


def test_a_kernel_that_allocates_is_not_compiled() -> None:
    """So that none can fail for want of memory, of which a foreign call could say nothing."""

    def allocating(pointer: Any) -> int:
        return len(np.empty(3))

    with pytest.raises((NumbaError, RuntimeError), match="Only accept returning of array passed"):
        njit((int64,), **compiling.OPTIONS)(allocating)
    layout = planning.LAYOUTS[np.dtype(np.float64), ITEMS]
    with pytest.raises((NumbaError, RuntimeError), match="Only accept returning of array passed"):
        compiling.handler(allocating, layout.kind)


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda path: path.stem)
def test_no_kernel_raises(path: Path) -> None:
    """A foreign call prints an exception and drops it."""
    kinds = (ast.Raise, ast.Assert, ast.Try)
    assert not [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]


SCRIPT = """
import resource
import numpy as np
import ksubset
{framework}
row = array(np.random.default_rng(0).normal(size=(1, 1000)))
before = np.asarray(draw(row, 2))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), resource.RLIM_INFINITY))
try:
    found = draw(row, 1 << 20)
    print("returned", found.shape)
except (MemoryError, RuntimeError):
    print("refused")
print((np.full(9, 5e-324) * 1.0 > 0).all(), (np.asarray(draw(row, 2)) == before).all(), before.sum())
"""
PLAIN = "def draw(x, draws): return ksubset.sample(x, 300, rng={rng}, sample_shape=(draws,))\n"
FRAMEWORKS: dict[str, str] = {
    "numpy": "array = np.asarray\n" + PLAIN.format(rng="0"),
    "torch": "import torch\narray = torch.from_numpy\n" + PLAIN.format(rng="0"),
    "jax": "import jax\njax.config.update('jax_enable_x64', True)\narray = jax.numpy.asarray\n"
    + PLAIN.format(rng="jax.random.key(0)"),
}


@pytest.mark.backends("numpy", "torch", "jax")
@pytest.mark.skipif(
    sys.platform != "linux", reason="the memory that a process uses is read from /proc, which Linux has"
)
def test_no_result_where_memory_runs_out(target: Target) -> None:
    """8 GiB of subsets in a process that may take half a gibibyte more: an error, after which all is as before."""
    script = SCRIPT.format(framework=FRAMEWORKS[target.backend])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["refused", "True True 600.0"], done.stderr
