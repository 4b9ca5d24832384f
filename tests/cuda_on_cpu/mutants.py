"""Mutants of the kernels' source: every barrier deleted, every index bound shifted by one either way, λ added up."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ksubset.backends._cuda.launch import PROGRAMS, text

BARRIER = re.compile(r"__syncthreads\(\);|__syncwarp\(lanes\);|team\.meet\(\);")
COMPARISON = re.compile(r" (<=|>=|<|>) ")
EXTREME = re.compile(r"\b(min|max)\(")
TILT = re.compile(r"\((.*) \+ tilt\.start\) \+ tilt\.shift")
REAL = re.compile(
    r"gap|guess|narrow|NARROW|x\.a, y\.a|infinity\(\)|spread|u < 0|weight > 0|u >=|key_of|key >> 31|NEAR|TINY|EVEN|"
    r"bits < leading|needed|probability|found >= variance|variance|sum\(team, wrong\)|row\[i\]|t > 0|likely \?|1e-37|"
    r"odds|\(Real\)1\)|bracket|uniform|reach\b|target \* whole"
)
TUNING = re.compile(r"STEPS|COOPERATE|ATTEMPTS|NEVER|STRETCHES")
"""Lines whose comparisons are between real numbers, and those whose bound is a choice and not an index."""


@dataclass(frozen=True)
class Mutant:
    """A changed file, where and how it was changed, and the line with the two that follow."""

    file: str
    line: int
    change: str
    text: str
    context: str
    changed: str

    def source(self, program: str) -> str:
        """A program that has the changed file."""
        return "\n".join(self.changed if name == self.file else text(name) for name in PROGRAMS[program])


def mutants() -> Iterator[Mutant]:
    """All of them, in the order of the files and lines."""
    for file in dict.fromkeys(name for program in PROGRAMS.values() for name in program):
        lines = text(file).split("\n")
        for number, line in enumerate(lines):
            code = line.partition("//")[0]
            for start, end, new, change in _changes(code):
                changed = [*lines[:number], line[:start] + new + line[end:], *lines[number + 1 :]]
                context = "\n".join(lines[number : number + 3])
                yield Mutant(file, number + 1, change, line.strip(), context, "\n".join(changed))


def _changes(code: str) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, replacement, description) of each change to a line."""
    for found in BARRIER.finditer(code):
        yield *found.span(), ";", "barrier deleted"
    for found in TILT.finditer(code):
        yield *found.span(), f"{found.group(1)} + (tilt.start + tilt.shift)", "λ added up"
    if REAL.search(code) or TUNING.search(code) or code.startswith(("template", "constexpr", "#", "static_assert")):
        return
    for found in COMPARISON.finditer(code):
        for shift in (" + 1", " - 1"):
            yield *found.span(), shift + found.group(), f"{found.group(1)} bound shifted by{shift}"
    for found in EXTREME.finditer(code):
        for shift in ("1 + ", "-1 + "):
            yield found.start(), found.start(), shift, f"{found.group(1)} shifted by {shift.removesuffix(' + ')}"
