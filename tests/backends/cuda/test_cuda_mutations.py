"""Whether the execution tests would notice: each barrier deleted, each index bound shifted by one, λ added up, in turn.

Run with -s to see what became of every mutant.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cuda_on_cpu.emulator import HERE, NEEDED, OWN_SESSION, compile_program, library
from cuda_on_cpu.mutants import Mutant, mutants

from ksubset.backends._cuda.launch import PROGRAMS

pytestmark = [NEEDED, OWN_SESSION, pytest.mark.slow]
TIMEOUT = 60

UP, DOWN = "shifted by + 1", "shifted by - 1"
POWERS = "the sizes of teams are powers of two"
UNUSED = "one more pass over nodes that are not used"
ROUNDING = "what is left out is below rounding"
HARMLESS = {
    ("if (size > WARP) __syncthreads", f"> bound {DOWN}"): POWERS,
    ("unsigned lanes = size < WARP", f"< bound {UP}"): POWERS,
    ("if (own.size <= WARP) return", f"<= bound {DOWN}"): POWERS,
    ("min(own.size, WARP) / 2", "min shifted by 1"): "any distances that span the lanes do",
    ("return k >= 0 && k <=", f">= bound {UP}"): "a count of -1 has no order statistics, which is NaN as well",
    ("return k >= 0 && k <=", f"<= bound {DOWN}"): "nor has a count of n + 1",
    ("multiply_factors<SOME>", f"< bound {DOWN}"): UNUSED,
    ("sum_changes(team, row", f"< bound {DOWN}"): UNUSED,
    ("item_at(row, i, tilt).spread;", f"< bound {UP}"): "J maps constants to 0, so any centre is right",
    ("for (int s = 1; s < SPAN; s++) {\n    Real a", f"< bound {UP}"): ROUNDING,
    ("int s = j + 1; s < SPAN", f"< bound {UP}"): ROUNDING,
    ("int group = first + GROUP", f"< bound {DOWN}"): "a group past the end has no items",
    ("nodes.size; j += own.size) {\n    Two<double>", f"< bound {UP}"): ROUNDING,
    ("first > begin + stretch", f"> bound {DOWN}"): "both sides are multiples of a stretch",
    ("int end = min(first + stretch", "min shifted by -1"): "B may have a little more variance than its share",
    ("found < chances.size - 1", f"< bound {DOWN}"): "the last count passes whatever is drawn",
    ("bool possible = left >= 0", f">= bound {UP}"): ROUNDING,
    ("bool possible = left >= 0", f">= bound {DOWN}"): ROUNDING,
    ("bool possible = left >= 0", f"<= bound {UP}"): ROUNDING,
    ("bool possible = left >= 0", f"<= bound {DOWN}"): ROUNDING,
    ("if (chosen < 0 ||", f"< bound {UP}"): "no row is given up, and B does not take every item",
    ("if (chosen < 0 ||", f"< bound {DOWN}"): "no row is given up",
    ("first <= highest - lowest; first", f"<= bound {DOWN}"): "the loop has returned before its last pass ends",
}
"""Mutants that compute the same, by a part of the line and the change."""


FLOAT, WIDE = ("KSUBSET_REAL", "float"), ("KSUBSET_WIDE", "1")
VARIANTS = [
    ("tree", (FLOAT, ("KSUBSET_SLAB", "0"))),
    *((program, macros) for program in ("moments", "sampling", "together") for macros in ((FLOAT,), (FLOAT, WIDE))),
]
"""The programs that the battery runs, and what they are compiled with."""


def fate(mutant: Mutant | None, sound: Path, folder: Path) -> str:
    """How the battery ends on a mutant, or on none; empty if it passes. ``sound`` has the programs as they are."""
    folder.mkdir()
    for file in sound.glob("*.so"):
        (folder / file.name).symlink_to(file)
    for program, macros in VARIANTS:
        if mutant and mutant.file in PROGRAMS[program]:
            library(folder, program, macros).unlink()
            compile_program(folder, program, macros, mutant.source(program))
    path = os.pathsep.join([str(HERE.parent), *filter(None, sys.path)])
    command = [sys.executable, "-m", "cuda_on_cpu.battery", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, "PYTHONPATH": path}
        )
    except subprocess.TimeoutExpired:
        return "never ends"
    finally:
        shutil.rmtree(folder)
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    return done.stderr.strip().split("\n")[-1].rpartition("Error: ")[2] if done.returncode else ""


def reason(mutant: Mutant) -> str | None:
    """Why a mutant is harmless, if it is known to be."""
    for (text, change), why in HARMLESS.items():
        if text in mutant.context and change == mutant.change:
            return why
    return None


def test_every_mutant_is_noticed_or_harmless(tmp_path):
    for program, macros in VARIANTS:
        compile_program(tmp_path / "sound", program, macros)
    found = list(mutants())
    assert fate(None, tmp_path / "sound", tmp_path / "unchanged") == ""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        places = [tmp_path / f"mutant{i}" for i in range(len(found))]
        fates = list(pool.map(fate, found, [tmp_path / "sound"] * len(found), places))
    for mutant, end in zip(found, fates, strict=True):
        place = f"{mutant.file}:{mutant.line}"
        print(f"{place:14} {mutant.change:26} {end or f'passes: {reason(mutant)}':60.60}  {mutant.text[:70]}")
    survivors = [mutant for mutant, end in zip(found, fates, strict=True) if not end]
    unexplained = [f"{m.file} {m.line}, {m.change}: {m.text}" for m in survivors if reason(m) is None]
    assert not unexplained
    assert {reason(mutant) for mutant in survivors} == set(HARMLESS.values())
    assert sum(mutant.change == "λ added up" for mutant in found) == 1
