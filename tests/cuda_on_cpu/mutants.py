"""Mutants of the kernels' source: every barrier deleted, every index bound shifted by one either way, λ added up."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

BARRIER = re.compile(r"__syncthreads\(\);")
COMPARISON = re.compile(r" (<=|>=|<|>) ")
EXTREME = re.compile(r"\b(min|max)\(")
TILT = re.compile(r"\((.*) \+ tilt\.start\) \+ tilt\.shift")
REAL = re.compile(
    r"excess|next >|u < 0|weight > 0|u >=|key_of|p\.value|theta\)|extremes\(|distance,|tiny\)|\(Real\)(0|1e-37)\)"
)
TUNING = re.compile(r"NEWTON_STEPS;|< COOPERATE")
"""Lines whose comparisons are between real numbers, and those whose bound is a choice and not an index."""


@dataclass(frozen=True)
class Mutant:
    """A changed source, where and how it was changed, and the line with the two that follow."""

    line: int
    change: str
    text: str
    context: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """All of them, in the order of the lines."""
    lines = source.split("\n")
    for number, line in enumerate(lines):
        code = line.partition("//")[0]
        for start, end, new, change in _changes(code):
            changed = [*lines[:number], line[:start] + new + line[end:], *lines[number + 1 :]]
            context = "\n".join(lines[number : number + 3])
            yield Mutant(number + 1, change, line.strip(), context, "\n".join(changed))


def _changes(code: str) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, replacement, description) of each change to a line."""
    for found in BARRIER.finditer(code):
        yield *found.span(), ";", "barrier deleted"
    for found in TILT.finditer(code):
        yield *found.span(), f"{found.group(1)} + (tilt.start + tilt.shift)", "λ added up"
    if REAL.search(code) or TUNING.search(code) or code.startswith(("template", "#")):
        return
    for found in COMPARISON.finditer(code):
        for shift in (" + 1", " - 1"):
            yield *found.span(), shift + found.group(), f"{found.group(1)} bound shifted by{shift}"
    for found in EXTREME.finditer(code):
        for shift in ("1 + ", "-1 + "):
            yield found.start(), found.start(), shift, f"{found.group(1)} shifted by {shift.removesuffix(' + ')}"
