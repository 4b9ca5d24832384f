"""The numbers of a program: rows of logits, what stands in the place of k, companions, and directions."""

from dataclasses import dataclass

import numpy as np

from programs.functions import FUNCTIONS, POTENTIALS
from programs.grammar import Program, highest, lowest
from programs.truth import Row

GRID = 16
"""Random numbers are multiples of 1/16 below 8: exact in every dtype, and so are sums of a few, ties included."""


@dataclass(frozen=True)
class Numbers:
    """Arrays by name, each with the batch in front except for `UNBATCHED`; and the truth's rows in their order."""

    arrays: dict[str, np.ndarray]
    rows: list[Row]


UNBATCHED = ("scalar", "shared")


def numbers(program: Program) -> Numbers:
    rng = np.random.default_rng([program.seed, 1])
    count, n = int(np.prod(program.batch)), program.n
    logits = grid(rng, (count, n)) * (rng.choice([0.25, 1, 4], size=(count, 1)) if program.is_wide else 1)
    k = rng.integers(n + 1, size=count) if program.is_varied else np.full(count, program.k)
    if program.bounded:
        k = np.minimum(k, program.bound)
    arrays, log_weights = sizes(program, rng, k)
    masked(program, rng, logits, k)
    if program.equal:
        logits[1:], k[1:] = logits[:1], k[:1]
    companions = companion(program, rng, logits, k)
    if program.equal:
        arrays, log_weights = repeated(arrays), repeated(log_weights)
        if FUNCTIONS[program.function].companion != "uniforms":
            companions = repeated(companions)
    arrays["logits"] = logits
    if companions is not None:
        arrays["companion"] = companions
    rows = [
        Row(
            logits[i],
            None if log_weights is not None else int(k[i]),
            None if log_weights is None else log_weights[i],
            None if companions is None else companions[i],
        )
        for i in range(count)
    ]
    arrays.update(directions(program, rng, count))
    shaped = {name: x if name in UNBATCHED else x.reshape((*program.batch, *x.shape[1:])) for name, x in arrays.items()}
    return Numbers(shaped, rows)


def grid(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.clip(np.round(rng.normal(size=shape) * 1.5 * GRID), -127, 127) / GRID


def repeated(x: object) -> object:
    """The first row in the place of all."""
    if isinstance(x, dict):
        return {name: value if name in UNBATCHED else repeated(value) for name, value in x.items()}
    return x if x is None else np.repeat(x[:1], len(x), axis=0)


def sizes(program: Program, rng: np.random.Generator, k: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """What stands in the place of k, as arrays, and the log-weights it means; changes k to sizes that have a weight."""
    n, count = program.n, len(k)
    if program.size == "array":
        return {"k": k}, None
    if program.size == "scalar":
        return {"scalar": np.array(program.k)}, None
    if program.size == "int":
        return {}, None
    c = np.arange(n + 1)
    if program.size in ("weights", "shared weights"):
        made = grid(rng, (count, n + 1))
        made[rng.random(made.shape) < 0.3] = -np.inf
        made[np.arange(count), k] = grid(rng, (count,))
        if program.size == "weights":
            return {"weights": made}, made
        shared = np.where(np.isinf(made[:1]), 0.0, made[:1]) if count else np.zeros((1, n + 1))
        return {"shared": shared[0]}, np.repeat(shared, count, axis=0)
    low = np.zeros(count, int) if program.size == "at_most" else lowest(k)
    high = np.full(count, n) if program.size == "at_least" else highest(k, n)
    inside = (c >= low[:, None]) & (c <= high[:, None])
    return ({"low": low, "high": high} if program.is_varied else {}), np.where(inside, 0.0, -np.inf)


def masked(program: Program, rng: np.random.Generator, logits: np.ndarray, k: np.ndarray) -> None:
    """Items that are never or always chosen, no more than k leaves room for."""
    least = -np.inf if program.mask != "least" else program.least
    for row, size in zip(logits, k, strict=True):
        place = rng.permutation(program.n)
        always, never = rng.integers(size + 1), rng.integers(program.n - size + 1)
        if program.mask in ("always", "both"):
            row[place[:always]] = np.inf
        if program.mask in ("never", "both", "least"):
            row[place[program.n - never :]] = least


def companion(program: Program, rng: np.random.Generator, logits: np.ndarray, k: np.ndarray) -> np.ndarray | None:
    """The second array of the function, rows first."""
    kind, (count, n) = FUNCTIONS[program.function].companion, logits.shape
    if not kind:
        return None
    if kind == "uniforms":
        u = rng.random((count, program.draws, n if program.size in POTENTIALS else max(n - 1, 0)))
        return (u - (u >= 0.5)).astype(np.float32).astype(float)
    made = grid(rng, logits.shape)
    fixed = np.abs(logits) > 1e4
    if kind == "v":
        return made
    if kind == "other":
        return np.where(fixed, logits, made)
    score = np.where(fixed, logits, made)
    if program.allows_wrong_subsets:
        k = np.where(rng.random(count) < 0.3, rng.integers(n + 1, size=count), k)
    return (np.argsort(np.argsort(-score, axis=1), axis=1) < k[:, None]).astype(float)


def directions(program: Program, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """A cotangent or tangent for each derivative of the program."""
    return {name: grid(rng, (count, *shape)) for name, shape in program.directions.items()}
