"""Goals in groups: compilers, objects, scalars, counts, the inverse map, cold starts, small calls."""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import poisson_binomial
import torch
from case import Case
from goal import Call, Goal
from layers import layer_jobs
from scalars import PLACES, jobs
from timing import Job

import ksubset

WIDE, MANY, ROUTER = (4096, 64, 8), (16_384, 8, 2), (8192, 256, 32)


def words(shape: tuple[int, ...]) -> str:
    """A shape and k as the tables have them."""
    *axes, k = shape
    return f"{' × '.join(map(str, axes))}, k = {k}"


def step(layer: Any, rows: int, n: int, k: int) -> Call:
    """Forward and backward of a weighted sum of what a layer gives, one tensor or several."""
    x = torch.from_numpy(Case(rows, n, k).normal()).requires_grad_()
    weights = torch.from_numpy(Case(rows, n, k).normal(seed=1))

    def call() -> None:
        x.grad = None
        found = layer(x)
        parts = found if isinstance(found, tuple) else (found,)
        sum((part * (weights if part.ndim > 1 else weights[:, 0])).sum() for part in parts).backward()

    return call


def compiled_step(shape: tuple[int, int, int]) -> tuple[Call, Call]:
    def layer(x: Any) -> Any:
        return ksubset.rsample(x, shape[-1])

    return step(torch.compile(layer, fullgraph=True), *shape), step(layer, *shape)


def keys_by_row(shape: tuple[int, int, int]) -> tuple[Call, Call]:
    rows, _, k = shape
    x, key = jax.numpy.asarray(Case(*shape).normal()), jax.random.key(0)

    def draw(key: Any, x: Any) -> Any:
        return ksubset.sample(x, k, rng=key)

    one, each = jax.jit(draw), jax.jit(jax.vmap(draw))
    keys = jax.random.split(key, rows)
    return lambda: each(keys, x).block_until_ready(), lambda: one(key, x).block_until_ready()


def likeliest(place: str, shape: tuple[int, int, int]) -> tuple[Call, Call]:
    """`mode` beside the framework's own choice of the k largest."""
    x, k = PLACES[place](Case(*shape).normal()), shape[-1]
    if place == "torch":
        return lambda: ksubset.mode(x, k), lambda: torch.topk(x, k)
    ours, other = jax.jit(lambda x: ksubset.mode(x, k)), jax.jit(lambda x: jax.lax.top_k(x, k)[1])
    return lambda: ours(x).block_until_ready(), lambda: other(x).block_until_ready()


def scalar(place: str, name: str, shape: tuple[int, int, int]) -> tuple[Call, Call]:
    timed = jobs(PLACES[place], Case(*shape).normal(), shape[-1], 0)
    return timed[name].run, timed["marginals"].run


def prepared(subsets: int) -> tuple[Call, Call]:
    """log_prob of subsets by an object that was made before, beside NumPy's own products."""
    row = Case(1, 200, 80).normal()[0].astype(np.float64)
    d = ksubset.KSubset(row, 80)
    z = d.sample(rng=0, sample_shape=(subsets,) if subsets > 1 else ())
    d.log_prob(z)
    return partial(d.log_prob, z), partial(np.dot, z, row)


def object_beside_functions(shape: tuple[int, int, int]) -> tuple[Call, Call]:
    k = shape[-1]

    def by_object(x: Any) -> Any:
        d = ksubset.KSubset(x, k)
        return d.rsample(), d.mean, d.entropy()

    def by_functions(x: Any) -> Any:
        return ksubset.rsample(x, k), ksubset.marginals(x, k), ksubset.entropy(x, k)

    return step(by_object, *shape), step(by_functions, *shape)


def sample_and_marginals(shape: tuple[int, int, int]) -> tuple[Call, Call]:
    k = shape[-1]

    def apart(x: Any) -> Any:
        return ksubset.rsample(x, k), ksubset.marginals(x, k)

    return step(lambda x: ksubset.sample_with_marginals(x, k), *shape), step(apart, *shape)


def counts(*shape: int) -> tuple[Call, ...]:
    """`count_log_pmf` beside a loop over fast_poibin, or alone where that takes too long."""
    logits = np.random.default_rng(shape[-1]).normal(size=shape)
    other = poisson_binomial.peers(1 / (1 + np.exp(-logits)))["fast_poibin"].run
    return partial(ksubset.count_log_pmf, logits), other


def inverse(n: int, k: int) -> tuple[Call, ...]:
    mean = ksubset.marginals(np.random.default_rng(0).normal(size=n), k)
    return (partial(ksubset.logits_from_marginals, mean, k),)


def small_step() -> tuple[Call, Call]:
    made = layer_jobs(Case(128, 10, 5))
    ours, other = made["ksubset"], made["Gumbel, log log"]
    assert isinstance(ours, Job)
    assert isinstance(other, Job)
    return ours.run, other.run


def small_row(place: str) -> tuple[Call, ...]:
    return (partial(ksubset.marginals, PLACES[place](Case(1, 10, 5).normal()[0]), 5),)


IMPORT = "import torch; x = torch.zeros(4, 9, requires_grad=True)\n"
THREE = "import ksubset; ksubset.marginals(x, 3); ksubset.rsample(x, 3).sum().backward()"
FIRST = {
    "entropy": "ksubset.entropy(x, 3)",
    "log_prob": "ksubset.log_prob(x, 3, ksubset.sample(x, 3))",
    "count_log_pmf": "ksubset.count_log_pmf(x)",
    "logits_from_marginals": "ksubset.logits_from_marginals(x.detach() + 1 / 3, 3)",
    "sample, up to three": "ksubset.sample(x, ksubset.at_most(3))",
    "mode": "ksubset.mode(x, 3)",
}


def process(code: str, cache: str | None = None) -> None:
    """A new process with a cache of compiled kernels, an empty one unless it is named."""
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache or empty}
        subprocess.run([sys.executable, "-c", IMPORT + code], check=True, env=environment)


def cold(code: str) -> tuple[Call, Call]:
    return partial(process, code), partial(process, "")


def second() -> tuple[Call, Call]:
    """A process that finds its kernels compiled, beside one that imports torch alone."""
    cache = Path(tempfile.mkdtemp(prefix="ksubset-goals-"))
    process(THREE, str(cache))
    return partial(process, THREE, str(cache)), partial(process, "")


COMPILERS = [
    *(
        Goal(f"torch.compile: a step of rsample, {words(s)}", "the same, eager", 1.3, "×", partial(compiled_step, s))
        for s in (WIDE, MANY)
    ),
    Goal(f"JAX: vmap of sample over keys, {words(WIDE)}", "one key", 1.3, "×", partial(keys_by_row, WIDE)),
    Goal(f"JAX: mode, {words(ROUTER)}", "lax.top_k", 1.5, "×", partial(likeliest, "jax", ROUTER)),
    Goal(f"torch: mode, {words(ROUTER)}", "torch.topk", 1.3, "×", partial(likeliest, "torch", ROUTER)),
]
SCALARS = [
    Goal(f"{place}: {name}, {words(shape)}", "marginals", 1.3, "×", partial(scalar, place, name, shape))
    for place in PLACES
    for shape in ((1, 50, 20), WIDE)
    for name in ("entropy", "log_normalizer", "kl_to_uniform", "kl_divergence", "log_prob")
]
OBJECTS = [
    Goal("log_prob of a subset, by an object made before", "np.dot", 2, "µs over", partial(prepared, 1)),
    Goal("log_prob of 1000 subsets, by an object made before", "np.dot", 20, "µs over", partial(prepared, 1000)),
    Goal(
        f"KSubset: rsample, mean and entropy, a step, {words(WIDE)}",
        "three functions",
        1.0,
        "×",
        partial(object_beside_functions, WIDE),
    ),
    Goal(
        f"sample_with_marginals, a step, {words(WIDE)}",
        "rsample and marginals",
        1.0,
        "×",
        partial(sample_and_marginals, WIDE),
    ),
]
COUNTS = [
    *(
        Goal(f"count_log_pmf of {n} items", "fast_poibin", 1.5, "×", partial(counts, n))
        for n in (10, 100, 1000, 10_000)
    ),
    Goal("count_log_pmf of 1000 rows of 100", "a loop over fast_poibin", 0.5, "×", partial(counts, 1000, 100)),
    Goal("count_log_pmf of 100,000 items", "", 2000, "ms", lambda: counts(100_000)[:1]),
]
INVERSE = [
    Goal(f"logits_from_marginals, n = {n}, k = {k}", "", most, "ms", partial(inverse, n, k))
    for n, k, most in ((50, 20, 2), (500, 200, 5), (100_000, 1000, 300))
]
COLD = [
    Goal("marginals, rsample, backward, cache empty", "import torch", 6000, "ms over", partial(cold, THREE)),
    *(
        Goal(f"{name}, cache empty", "import torch", 4000, "ms over", partial(cold, f"import ksubset; {code}"))
        for name, code in FIRST.items()
    ),
    Goal("marginals, rsample, backward, second process", "import torch", 400, "ms over", second),
]
SMALL = [
    Goal("A step, 128 × 10, k = 5", "Gumbel with the faster noise", 0.9, "×", small_step),
    Goal("NumPy: marginals of a row of 10", "", 15, "µs", partial(small_row, "numpy")),
    Goal("torch: marginals of a row of 10", "", 20, "µs", partial(small_row, "torch")),
]
GROUPS = {
    "Compilers": COMPILERS,
    "One number to a row": SCALARS,
    "What is shared": OBJECTS,
    "Counts": COUNTS,
    "The inverse map": INVERSE,
    "The first call of a process": COLD,
    "Small calls": SMALL,
}
