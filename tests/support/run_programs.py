"""Run generated programs: `python tests/support/run_programs.py --target torch --programs 1000 --seed 7`.

It prints each program whose answer is not the truth, and the command that repeats that one alone.
"""

import argparse
import os
import random
import sys
import time
import traceback
import warnings

from programs.compare import check
from programs.execute import answer
from programs.grammar import BLOCK, Program, draw

IGNORED = (
    (".*torch.jit.script", DeprecationWarning, ""),
    (".*should not be instantiated", DeprecationWarning, ""),
    (".*multi-threaded, use of fork", DeprecationWarning, ""),
    (".*not a leaf Tensor is being accessed", UserWarning, r"torch\._(dynamo|subclasses)"),
)
"""Warnings that torch raises within itself, as in pyproject.toml, the last in its compiler alone, which hides it where
warnings are printed and not errors; and Python's of forks, which are asked for here. With the module that raises it."""


def main() -> int:
    options = arguments()
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # XLA's: programs run once, and compile for longer
    print(f"{options.target}: programs {options.first} to {options.first + options.programs - 1}, seed {options.seed}")
    start, failures = time.monotonic(), 0
    for index in range(options.first, options.first + options.programs):
        program = draw(options.target, options.seed, index)
        if options.verbose:
            print(f"{index}: {program}", flush=True)
        if index % BLOCK == 0 and index > options.first:
            print(f"{index - options.first} done, {time.monotonic() - start:.0f} s", flush=True)
            forget(options.target)
        failures += not passes(program, options, index)
    print(f"{options.programs} programs, {failures} failed, {time.monotonic() - start:.0f} s")
    return 1 if failures else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=("torch", "jax"), required=True)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the index of the first program")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--verbose", action="store_true", help="print every program")
    return parser.parse_args()


def passes(program: Program, options: argparse.Namespace, index: int) -> bool:
    os.environ["KSUBSET_FAST"] = str(int(program.fast))
    start = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for ignored in IGNORED:
                warnings.filterwarnings("ignore", *ignored)
            check(program, answer(program))
    except Exception as error:  # of the library or of a framework: all are findings
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"\n{index}: {program}\n    {type(error).__name__}: {str(error)[:600]}")
        print(f"    at {where.filename}:{where.lineno}")
        command = f"--target {options.target} --seed {options.seed} --first {index} --programs 1"
        print(f"    again: python tests/support/run_programs.py {command}", flush=True)
        if options.verbose:
            traceback.print_exc()
        return False
    if options.verbose and time.monotonic() - start > 2:
        print(f"    {time.monotonic() - start:.1f} s")
    return True


def forget(target: str) -> None:
    """What JAX compiled for the other path."""
    if target == "jax":
        import jax

        jax.clear_caches()


if __name__ == "__main__":
    sys.exit(main())
