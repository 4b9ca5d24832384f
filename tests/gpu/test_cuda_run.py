"""The command for a machine with a GPU runs here too, on the emulator; and what it would start on a device."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import steps
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION

pytestmark = OWN_SESSION
HERE = Path(__file__).parent
RUN: dict[str, Any] = runpy.run_path(str(HERE / "run.py"))
MATRIX = ["matrix torch", "matrix cupy", "matrix jax"]
EVERY = ["self-check", "paths", "launches", "bench", *MATRIX, "memcheck", "racecheck"]


@NEEDED
def test_everything_passes_on_the_emulator(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the emulator stands in for torch's device")
    command = [sys.executable, str(HERE / "run.py"), "--emulated", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    told = json.loads((tmp_path / "summary.json").read_text())
    results = {step["name"]: step for step in told["steps"]}
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(results) == set(EVERY)  # the steps of a group end in any order
    assert {name for name, step in results.items() if step["status"] != "passed"} <= {*MATRIX, "memcheck", "racecheck"}
    assert results["launches"]["last"] == "every kernel agrees"
    (shape, *_) = json.loads((tmp_path / "bench.json").read_text())["shapes"]
    assert set(shape["kernels"]) == {"ksubset_sample", "ksubset_jacobian"}
    assert shape["k ones"]
    for name in ("ksubset", "gumbel", "softsub", "dynamic programme"):
        assert shape[name]["ms"] > 0
    assert ", launched by the emulator" in (tmp_path / "paths.txt").read_text()


def one(command: list[str], folder: Path, limit: float = 60.0) -> Any:
    """The result of a step that runs some Python."""
    groups = [[steps.Step("a step", [sys.executable, "-c", *command], limit)]]
    (result,) = RUN["run"](groups, folder, dict(os.environ))
    return result


def test_a_step_that_fails_or_hangs_does_not_stop_the_next(tmp_path: Path) -> None:
    failed = one(["print('why'); raise SystemExit(3)"], tmp_path)
    assert (failed.status, failed.last) == ("failed", "why")
    late = one(["import time; print('begins', flush=True); time.sleep(60)"], tmp_path, 5)
    assert (late.status, late.last) == ("out of time", "begins")
    assert one(["print('ends')"], tmp_path).status == "passed"


def test_what_is_absent_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SANITIZER", None)
    monkeypatch.setattr(steps, "find_spec", lambda name: None)
    absent = {step.name: step.absent for group in steps.steps(tmp_path, False) for step in group if step.absent}
    assert absent["memcheck"] == "compute-sanitizer is not installed"
    assert absent["matrix cupy"] == "cupy is not installed"
    assert set(absent) == {*EVERY[1:]}
    (result, *_) = RUN["run"]([[steps.Step("x", [], 0, absent="why")]], tmp_path, {})
    assert (result.status, result.last) == ("absent", "why")


def test_on_a_device_the_matrix_runs_there_and_every_path_exists(tmp_path: Path) -> None:
    every = {step.name: step for group in steps.steps(tmp_path, False) for step in group}
    for name in MATRIX:
        step = every[name]
        assert step.environment["KSUBSET_TARGETS"] == f"{name.partition(' ')[2]}-cuda"
        chosen = [x for x in step.command if x.startswith("tests/")]
        assert chosen
        assert all((RUN["ROOT"] / x).exists() for x in chosen)
    assert [[step.name for step in group] for group in steps.steps(tmp_path, False)][:4] == [[x] for x in EVERY[:4]]
    limits = [max(step.limit for step in group) for group in steps.steps(tmp_path, False)]
    assert sum(limits) < 20 * 60


def test_wheels_are_for_the_steps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    (tmp_path / "a.whl").touch()
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command))
    found = RUN["environment"](tmp_path, tmp_path, False)
    assert asked[0][-1] == str(tmp_path / "a.whl")
    assert asked[0][asked[0].index("--target") + 1] in found["PYTHONPATH"].split(os.pathsep)
    assert "KSUBSET_EMULATED" not in found
