"""A program carried out: the call of the library inside, a framework's transformations around it."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np

import ksubset
from programs.functions import FUNCTIONS, Call
from programs.grammar import Program, highest, lowest
from programs.rows import numbers

Arguments = dict[str, Any]
"""Arrays of a framework by name, as in `rows.Numbers`."""

Stage = Callable[[Arguments], Any]


class Words(Protocol):
    """A framework: how its arrays are made and read, what stands for randomness, and its transformations.

    ``TRANSFORMS[name](stage, program, place)`` is the stage with one more transformation around it.
    """

    TRANSFORMS: dict[str, Callable[[Stage, Program, int], Stage]]

    def settings(self, program: Program) -> Any: ...
    def arguments(self, program: Program, arrays: dict[str, np.ndarray]) -> Arguments: ...
    def rng(self, program: Program, args: Arguments) -> object: ...
    def distribution(self, program: Program) -> Any: ...
    def to_numpy(self, x: Any) -> np.ndarray: ...


def words_of(framework: str) -> Any:
    return import_module(f"programs.words_{framework}")


def answer(program: Program) -> np.ndarray:
    """What the library says, in float64."""
    words, arrays = words_of(program.framework), numbers(program).arrays
    with words.settings(program):

        def stage(args: Arguments) -> Any:
            return called(program, words, args)

        for place, name in enumerate(program.transforms):
            stage = words.TRANSFORMS[name](stage, program, place)
        return words.to_numpy(stage(words.arguments(program, arrays)))


def called(program: Program, words: Any, args: Arguments) -> Any:
    """The function's value for arrays, which transformations may have wrapped."""
    call = Call(
        program.function,
        program.way,
        words.distribution(program),
        args["logits"],
        size(program, args),
        args.get("companion"),
        words.rng(program, args),
        program.draws,
        {"max_k": program.bound} if program.bounded else {},
    )
    value = FUNCTIONS[program.function].call(call)
    assert value.dtype == args["logits"].dtype, f"{value.dtype} from logits of {args['logits'].dtype}"
    return value


def size(program: Program, args: Arguments) -> Any:
    """What is given in the place of k."""
    n, kind = program.n, program.size
    low, high = args.get("low", lowest(program.k)), args.get("high", highest(program.k, n))
    forms: dict[str, Callable[[], Any]] = {
        "int": lambda: program.k,
        "array": lambda: args["k"],
        "scalar": lambda: args["scalar"],
        "at_most": lambda: ksubset.at_most(high),
        "at_least": lambda: ksubset.at_least(low),
        "between": lambda: ksubset.between(low, high),
        "weights": lambda: ksubset.Cardinality(args["weights"]),
        "shared weights": lambda: ksubset.Cardinality(args["shared"]),
    }
    return forms[kind]()


def variable(program: Program) -> str:
    """The name of the array that is differentiated."""
    return "weights" if program.wrt == "log_weights" else "logits"


def in_a_process(stage: Stage, program: Program, place: int) -> Stage:
    """The same program in an interpreter of its own, in a pool of one process within a pool of threads."""
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    from multiprocessing import get_context

    alone = replace(program, transforms=program.transforms[:place])

    def elsewhere(args: Arguments) -> np.ndarray:
        with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1, get_context("spawn")) as processes:
            return threads.submit(lambda: processes.submit(answer, alone).result()).result()

    return elsewhere


def in_threads(count: int) -> Callable[[Stage, Program, int], Stage]:
    """In other threads, all at once, which must agree on what is not random."""

    def around(stage: Stage, program: Program, place: int) -> Stage:
        from concurrent.futures import ThreadPoolExecutor

        words = words_of(program.framework)

        def at_once(args: Arguments) -> Any:
            def run(_: int) -> Any:
                with words.settings(program):
                    return stage(args)

            with ThreadPoolExecutor(count) as pool:
                results = list(pool.map(run, range(count)))
            if not FUNCTIONS[program.function].draws:
                for other in results[1:]:
                    np.testing.assert_array_equal(words.to_numpy(other), words.to_numpy(results[0]))
            return results[0]

        return at_once

    return around


COMMON = {"process": in_a_process, "thread": in_threads(1), "two threads": in_threads(2)}
