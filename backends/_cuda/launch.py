"""A launch of a kernel: which program has it, how that is compiled, and the geometry."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

WARP = 32
MOST_THREADS = 512
"""The most threads of a block; the same in the source."""

SCRATCH_BYTES = 16 * MOST_THREADS // WARP
"""The start of the shared memory, which serves reductions; the same in the source."""

OLDEST = 7, 0
"""The compute capability from which on parts of a warp may go their own ways."""

REALS = {"float32": "float", "float64": "double"}

ROWS = ("base", "meeting", "teams", "rows", "tilt")
NODES = (*ROWS, "nodes", "products")
ANSWERS = ("contour", "exchange", "answers")
DRAWS = ("philox", "bernoulli", "stages")
PROGRAMS = {
    "moments": (*NODES, *ANSWERS, "moments"),
    "sampling": (*NODES, *DRAWS, "sampling"),
    "together": (*NODES, *ANSWERS, *DRAWS, "together"),
    "tree": (*ROWS, "tree"),
    "nothing": ("nothing",),
}
"""Files of ``kernels`` that are compiled together, one after the other."""

KERNELS = {
    "ksubset_solve": "moments",
    "ksubset_jacobian": "moments",
    "ksubset_sample": "sampling",
    "ksubset_sample_with_marginals": "together",
    "ksubset_descend": "tree",
    "ksubset_nothing": "nothing",
}
"""The program of each kernel."""


def text(name: str) -> str:
    """One of the files of ``kernels``."""
    return (Path(__file__).with_name("kernels") / f"{name}.cu").read_text(encoding="utf-8")


@lru_cache
def source(program: str) -> str:
    """A program in CUDA C++."""
    return "\n".join(map(text, PROGRAMS[program]))


@dataclass(frozen=True)
class Device:
    """Shared memory that a block may have, in bytes, and the number of processors."""

    shared_bytes: int
    processors: int


@dataclass(frozen=True)
class Launch:
    """How to run a kernel.

    Attributes
    ----------
    kernel, real
        Its name, and the C type of its numbers.
    blocks, threads, shared_bytes
        The geometry of the launch.
    slab
        Whether a tree is in global memory; None for a kernel without one.
    launcher
        The package that launches it, where the framework of the arrays does not.
    wide
        Whether all blocks share each row: they run at the same time and meet, which takes a cooperative launch.
    """

    kernel: str
    real: str
    blocks: int
    threads: int
    shared_bytes: int
    slab: bool | None = None
    launcher: str = ""
    wide: bool = False

    @property
    def program(self) -> str:
        """The key of `PROGRAMS` that has the kernel."""
        return KERNELS[self.kernel]

    @property
    def macros(self) -> tuple[tuple[str, str], ...]:
        """What the source is compiled with, by the macros' names."""
        slab = () if self.slab is None else (("KSUBSET_SLAB", str(int(self.slab))),)
        return (("KSUBSET_REAL", self.real), *slab, *((("KSUBSET_WIDE", "1"),) if self.wide else ()))

    @property
    def options(self) -> tuple[str, ...]:
        """The compiler options for the source."""
        return ("-std=c++17", *(f"-D{name}={value}" for name, value in self.macros))

    @property
    def family(self) -> str:
        """The name of these kernels in `ksubset.show_config`."""
        return "the CUDA kernels"

    @property
    def solves(self) -> bool:
        """Whether the kernel finds a whole `ksubset._engine.inference.Solution`, at no extra cost."""
        return self.kernel == "ksubset_solve"

    @property
    def reason(self) -> str:
        """The launch in words."""
        by = f", launched by {self.launcher}" if self.launcher else ""
        return f"{self.work}, blocks of {self.threads} threads{by}"

    @property
    def work(self) -> str:
        """How threads divide the work, in words."""
        return "no work"


TRIAL = Launch("ksubset_nothing", "float", 1, WARP, 0)
"""A launch without effect, by which a launcher is tried."""


def too_old(capability: str) -> str:
    """What to say of a device."""
    return f"the CUDA kernels need a device of compute capability {OLDEST[0]}.{OLDEST[1]} or later; got {capability}"


def type_name(dtype: object) -> str:
    """``float32`` or ``float64``, whatever the framework calls it."""
    return str(dtype).rpartition(".")[2]
