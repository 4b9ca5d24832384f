"""The goals for all that stands around the kernels, and what was measured, as the tables of a page.

    python tests/benchmarks/goals.py --page docs/benchmark_goals.md

``--quick`` makes few calls, which checks the program; ``--only WORD`` measures the goals that have the word in them.
"""

import argparse
import os
from itertools import chain
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import goal_rows
import jax
import run
import torch
from goal import Goal, measure, written
from page import put, table
from settings import require_fast, thread_count
from timing import grow_heap

HEAD = ("what", "against", "goal", "1 thread", "2 threads", "reached")

Found = tuple[Goal, float, float | None]


def measured(goal: Goal, quick: bool) -> Found:
    """On one thread and on two; a cold start once."""
    seconds, fewest = (0.01, 1) if quick else (0.5, 5)
    with thread_count(1):
        one, two = measure(goal, seconds, fewest), None
    if goal not in goal_rows.COLD:
        with thread_count(2):
            two = measure(goal, seconds, fewest)
    print(" ".join(cells((goal, one, two))), flush=True)
    return goal, one, two


def cells(found: Found) -> list[str]:
    """A line of a table."""
    goal, one, two = found
    both = [written(value, goal.unit) if value is not None else "" for value in (one, two)]
    reached = max(value for value in (one, two) if value is not None) <= goal.most
    return [goal.what, goal.against, f"≤ {goal.most:g} {goal.unit}", *both, "yes" if reached else "**no**"]


def tables(groups: dict[str, list[Found]]) -> str:
    """A table for each group, under its name."""
    return "\n\n".join(f"## {name}\n\n{table(HEAD, map(cells, found))}" for name, found in groups.items())


def conclusion(groups: dict[str, list[Found]]) -> str:
    """How many goals are reached, and under which conditions."""
    found = list(chain.from_iterable(groups.values()))
    reached = sum(cells(one)[-1] == "yes" for one in found)
    conditions = "\n".join(f"- {name}: {value}" for name, value in run.conditions().items() if name != "floor")
    return f"{reached} of {len(found)} goals are reached, on one thread and on two.\n\n{conditions}"


def main() -> None:
    """Measure, print, and write the page if one is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="check the program: few calls")
    parser.add_argument("--only", default="", help="a word in the goals to measure")
    parser.add_argument("--page", type=Path, help="Markdown in which to put the tables")
    options = parser.parse_args()
    require_fast()
    grow_heap()
    torch.set_num_interop_threads(1)
    jax.config.update("jax_enable_x64", True)
    groups = {}
    for name, goals in goal_rows.GROUPS.items():
        chosen = [goal for goal in goals if options.only in f"{name} {goal.what} {goal.against}"]
        if chosen:
            groups[name] = [measured(goal, options.quick) for goal in chosen]
    if options.page:
        put(options.page, "tests/benchmarks/goals.py", goals=f"{conclusion(groups)}\n\n{tables(groups)}")


if __name__ == "__main__":
    main()
