"""What a program is, how one is drawn, and how it reads."""

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from programs.functions import FUNCTIONS, POTENTIALS, SIZES, WAYS

PULL = ("grad", "vjp", "backward")
PUSH = ("jvp", "linearize", "forward")
WHOLE = ("jacrev", "jacfwd")
DERIVATIVES = PULL + PUSH + WHOLE
MAPS = ("vmap", "vmap of the second axis", "scan")
CONTEXTS = ("thread", "two threads", "fork", "process", "autocast", "no_grad", "inference_mode")
OTHERS = ("jit", "compile", "checkpoint")

WORDS = {
    "torch": {
        "grad": 3,
        "vjp": 2,
        "backward": 6,
        "jvp": 2,
        "forward": 3,
        "jacrev": 1,
        "jacfwd": 1,
        "vmap": 4,
        "vmap of the second axis": 2,
        "checkpoint": 2,
        "compile": 0.3,
        "autocast": 1,
        "no_grad": 1,
        "inference_mode": 1,
        "thread": 1,
        "two threads": 0.5,
        "fork": 0.3,
        "process": 0.05,
    },
    "jax": {
        "jit": 6,
        "grad": 3,
        "vjp": 1,
        "jvp": 2,
        "linearize": 1,
        "jacrev": 0.5,
        "jacfwd": 0.5,
        "vmap": 4,
        "vmap of the second axis": 2,
        "scan": 1,
        "checkpoint": 1,
        "thread": 1,
        "process": 0.03,
    },
}
"""The transformations of a framework, and how often each is drawn."""

BATCHES = {
    "torch": ((), (1,), (3,), (5,), (2, 3), (2, 1, 2), (0,), (2, 0)),
    "jax": ((3,), (3,), (2, 3), (0,)),
}
ITEMS = {"torch": (1, 2, 3, 5, 6, 8), "jax": (5,)}
"""JAX compiles for every shape."""

DTYPES = ("float32", "float64", "float32", "float64", "float16", "bfloat16")
LAYOUTS = ("contiguous", "contiguous", "transposed", "strided", "offset", "expanded")
MASKS = ("none", "none", "never", "always", "both", "least")
BLOCK = 125
"""How many programs share KSUBSET_FAST and JAX's settings: JAX keeps in its caches which path was taken."""

CORE = {"torch": 2, "jax": 8}
"""Every second block of torch's programs takes the core, and every eighth of JAX's, since XLA compiles it for long."""

DRAWS = 120
"""Samples of each row where their law is asked for."""


@dataclass(frozen=True)
class Program:
    """A function, the arrays it is given, and the transformations around it, from the inside out."""

    framework: str
    seed: int
    fast: bool
    function: str
    way: str
    size: str
    k: int
    bounded: bool
    dtype: str
    x64: bool
    batch: tuple[int, ...]
    n: int
    is_wide: bool
    mask: str
    layout: str
    wrt: str
    transforms: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        called = self.function if self.way == "function" else f"{self.way}.{self.function}"
        inner = f"{called}({self.wrt})" if self.wrt != "logits" else called
        for name in self.transforms:
            inner = f"{name}({inner})"
        size = f"k = {self.k}" if self.size == "int" else f"k as {self.size}"
        parts = [f"{self.dtype}{[*self.batch, self.n]}", f"mask {self.mask}", self.layout, size]
        parts += ["max_k"] * self.bounded + ["rows x4"] * self.is_wide + [f"KSUBSET_FAST={int(self.fast)}"]
        if self.framework == "jax":
            parts.append(f"x64 {'on' if self.x64 else 'off'}")
        return f"{self.framework}: {inner} of {', '.join(parts)}"

    @property
    def equal(self) -> bool:
        """Whether all rows are the same: an expanded one, or one of which many samples are compared."""
        return self.layout == "expanded" or (FUNCTIONS[self.function].draws == "law" and self.seed % 2 == 0)

    @property
    def is_varied(self) -> bool:
        """Whether k, or what stands in its place, is another in each row; else bounds of potentials are ints."""
        return self.size in ("array", "weights", "shared weights") or (self.size in POTENTIALS and self.seed % 3 > 0)

    @property
    def allows_wrong_subsets(self) -> bool:
        """Whether a z of probability 0 has a value that is compared."""
        return not self.derivatives and self.way != "distribution"

    @property
    def bound(self) -> int:
        return max(self.n // 2, self.k)

    @property
    def least(self) -> float:
        """The least float of the dtype."""
        return float(np.finfo(self.dtype).min) if self.dtype != "bfloat16" else -float.fromhex("0x1.fep127")

    @property
    def draws(self) -> int:
        return 2 if self.derivatives or FUNCTIONS[self.function].draws != "law" else DRAWS

    @property
    def derivatives(self) -> tuple[str, ...]:
        return tuple(name for name in self.transforms if name in DERIVATIVES)

    @cached_property
    def directions(self) -> dict[str, tuple[int, ...]]:
        """The name and the shape for one row of the vector of each derivative, by its place among the transforms."""
        out, m = self.out, self.n if self.wrt == "logits" else self.n + 1
        shapes = {}
        for place, name in enumerate(self.transforms):
            if name in PULL:
                shapes[f"g{place}"], out = out, (m,)
            elif name in PUSH:
                shapes[f"v{place}"] = (m,)
            elif name in WHOLE:
                out = (*out, m)
        return shapes

    @property
    def out(self) -> tuple[int, ...]:
        """The shape of the function's value for one row."""
        function, n = FUNCTIONS[self.function], self.n
        if function.draws in ("law", "size"):
            return self.draws, n
        if self.function in ("marginals", "variance", "marginals_jvp", "mode"):
            return (n,)
        return {"covariance": (n, n), "count_log_pmf": (n + 1,)}.get(self.function, ())

    def maps_after(self, place: int) -> int:
        """How many batch dimensions are mapped outside of a transformation."""
        return sum(name in MAPS for name in self.transforms[place + 1 :])


def lowest(k: Any) -> Any:
    """The lower bound of a potential that allows k."""
    return k * 2 // 3


def highest(k: Any, n: int) -> Any:
    """Its upper bound."""
    return k + (k < n)


def draw(framework: str, seed: int, index: int) -> Program:
    """The program of a place in the run of a seed."""
    rng, block = np.random.default_rng([seed, index]), index // BLOCK
    while True:
        program = proposed(framework, rng, fast=block % CORE[framework] > 0, x64=block % 2 == 0)
        if makes_sense(program):
            return program


def proposed(framework: str, rng: np.random.Generator, fast: bool, x64: bool) -> Program:
    name = str(rng.choice(list(FUNCTIONS)))
    function, words = FUNCTIONS[name], WORDS[framework]
    chances = np.array(list(words.values()))
    n = int(rng.choice(ITEMS[framework]))
    potential = rng.random() < (0.5 if framework == "torch" else 0.1)
    size = str(rng.choice([s for s in function.sizes if (s in POTENTIALS) == potential] or function.sizes))
    dtype = str(rng.choice(DTYPES))
    layouts = LAYOUTS if framework == "torch" else LAYOUTS[:1]
    batches = BATCHES[framework]
    count = int(rng.choice(4, p=[0.15, 0.35, 0.3, 0.2]))
    return Program(
        framework,
        int(rng.integers(2**31)),
        fast,
        name,
        str(rng.choice(function.ways)),
        size,
        int(rng.choice([0, n, *range(n + 1)] if framework == "torch" else [2])),
        bool(rng.random() < 0.15) and size in ("array", "scalar"),
        dtype,
        dtype == "float64" or x64,
        batches[rng.integers(len(batches))],
        n,
        dtype in ("float32", "float64") and size not in POTENTIALS and bool(rng.random() < 0.4),
        str(rng.choice(MASKS)),
        str(rng.choice(layouts)),
        "log_weights" if function.weights and size == "weights" and rng.random() < 0.3 else "logits",
        tuple(map(str, rng.choice(list(words), size=count, replace=True, p=chances / chances.sum()))),
    )


def makes_sense(program: Program) -> bool:
    return all(rule(program) for rule in RULES)


def as_is(program: Program) -> bool:
    """What functions do not take."""
    function, potential = FUNCTIONS[program.function], program.size in POTENTIALS
    if program.way == "distribution":
        sizes = SIZES[:1] if program.framework == "jax" else SIZES[:2]
        if program.size not in sizes or program.bounded:
            return False
    if program.function == "kl_divergence" and program.way in WAYS[1:] and program.size in ("array", "scalar"):
        return False
    if program.function == "gumbel_topk_st" and program.mask in ("always", "both"):
        return False
    if program.function == "imle" and program.k == 0:
        return False
    if program.mask == "least" and (potential or function.draws == "size" or program.function == "count_log_pmf"):
        return False
    return not (program.bounded and program.function in ("count_log_pmf", "exact_gradient", "score_function"))


def known_derivatives(program: Program) -> bool:
    """As many as the truth has, in float16 and bfloat16 one."""
    count = len(program.derivatives)
    half = program.dtype in ("float16", "bfloat16")
    return count <= min(FUNCTIONS[program.function].order, 1 if half else 2)


def dimensions(program: Program) -> bool:
    """A dimension for each map, rows where there is one, and one row in a Jacobian."""
    maps = sum(name in MAPS for name in program.transforms)
    if maps > len(program.batch) or (maps and prod(program.batch) == 0):
        return False
    return all(
        program.maps_after(place) == len(program.batch)
        for place, name in enumerate(program.transforms)
        if name in WHOLE
    )


def layouts(program: Program) -> bool:
    """Layouts of tensors that have the dimensions for it; torch makes no duals of expanded ones."""
    if program.layout == "expanded" and {*PUSH, "jacfwd"} & set(program.transforms):
        return False
    return program.layout != "transposed" or len(program.batch) > 0


def contexts_outside(program: Program) -> bool:
    """Threads and processes are outermost, once each; no gradient is recorded where that is turned off."""
    places = [name in CONTEXTS for name in program.transforms]
    if sorted(places) != places or len(set(program.transforms[places.index(True) :] if any(places) else ())) < sum(
        places
    ):
        return False
    off = {"no_grad", "inference_mode"} & set(program.transforms)
    return not (off and {"backward", "forward"} & set(program.transforms))


def torch_nesting(program: Program) -> bool:
    """What torch composes: its autograd outermost, checkpoints within that alone, a compiler around no derivative."""
    names = [name for name in program.transforms if name not in CONTEXTS]
    if program.framework != "torch":
        return True
    inner = names[:-1]
    if {"backward", "forward"} & set(inner) or names.count("checkpoint") > 1 or names.count("compile") > 1:
        return False
    if "forward" in names and {"jvp", "jacfwd"} & set(inner):
        return False
    if "two threads" in program.transforms and {*PUSH, "jacfwd"} & set(names):  # its levels are of all threads
        return False
    if "checkpoint" in names and (names[-2:] != ["checkpoint", "backward"] or {*PULL, "jacrev"} & set(names[:-2])):
        return False  # its hooks on saved tensors are refused by torch.func
    if "compile" not in names:
        return True
    inside, around = names[: names.index("compile")], names[names.index("compile") + 1 :]
    untraced = (*DERIVATIVES, *MAPS) if around else DERIVATIVES
    return around in ([], ["backward"]) and not {*untraced} & {*inside} and program.way != "distribution"


def affordable(program: Program) -> bool:
    """Few programs in JAX that contain a third cumulant, which it compiles for a quarter of a minute."""
    order = len(program.derivatives) + (program.function in ("marginals_jvp", "covariance"))
    return program.framework != "jax" or order < 2 or program.seed % 10 == 0


RULES = (as_is, known_derivatives, dimensions, layouts, contexts_outside, torch_nesting, affordable)
