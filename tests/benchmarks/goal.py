"""A goal for a time: a largest ratio to another job's time, a largest difference from it, or a largest time."""

from collections.abc import Callable
from typing import NamedTuple

from timing import Job, interleaved, summary

Call = Callable[[], object]

SCALE = {"×": 1.0, "ms": 1.0, "ms over": 1.0, "µs": 1e3, "µs over": 1e3}
"""Of milliseconds, by the unit of a goal: ``"×"`` is of the other's time, ``"over"`` is beyond it."""


class Goal(NamedTuple):
    """What is timed, what beside, and how much it may take."""

    what: str
    against: str
    most: float
    unit: str
    calls: Callable[[], tuple[Call, ...]]
    """Makes the job, and the other if there is one."""


def measure(goal: Goal, seconds: float, fewest: int) -> float:
    """The time in the unit of the goal, from medians of calls in turn."""
    jobs = {name: Job(call) for name, call in zip(("ours", "other"), goal.calls(), strict=False)}
    times = interleaved(jobs, seconds, fewest=fewest, turn=0.01)
    ours, *other = (summary(times[name])["median_ms"] for name in jobs)
    if goal.unit == "×":
        return ours / other[0]
    return (ours - sum(other)) * SCALE[goal.unit]


def written(value: float, unit: str) -> str:
    """A number with its unit, to two or three digits."""
    if unit == "×":
        return f"{value:.2f} ×"
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{round(value, -2):,.0f} {unit}"
