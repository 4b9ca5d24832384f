"""``python -m ksubset``: what it finds here, what it says where little is installed, and that it notices faults."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Target
from oracle import Enumeration
from scipy import stats

import ksubset
from ksubset import _selfcheck
from ksubset.__main__ import main
from ksubset._selfcheck import checks, oracle, places, report

pytestmark = [pytest.mark.backends("numpy"), pytest.mark.usefixtures("target")]  # but for the one that names others
FRAMEWORKS = {"strict": "array_api_strict"}


def framework(target: Target) -> str:
    return FRAMEWORKS.get(target.backend, target.backend)


@pytest.fixture(autouse=True)
def small_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about time."""
    monkeypatch.setattr(checks, "LAYER", (len(checks.LOGITS), len(checks.G), checks.K))
    monkeypatch.setattr(checks, "LEAST", 1)
    monkeypatch.setattr(checks, "SECONDS", 0)
    monkeypatch.setattr(report, "is_installed", lambda module: module != "numpyro")


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main(["--json", *arguments])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.backends("numpy", "strict", "torch", "jax", "cupy")
def test_everything_agrees_here(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = checked(capsys, framework(target))
    assert status == 0
    assert document["agrees"]
    assert document["unusable"] == []
    assert {(entry["framework"], entry["dtype"]) for entry in document["checked"]} >= {
        (framework(target), dtype) for dtype in target.dtypes if dtype != "float16"
    }
    for entry in document["checked"]:
        assert entry["agrees"]
        assert entry["layer_ms"] > 0
        assert entry["findings"]["marginals"]["value"] < checks.BOUND[entry["dtype"]]


def test_schema(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(places.PLACES, "torch", broken)
    monkeypatch.setattr(places, "import_module", lambda name: np)
    _, document = checked(capsys, "numpy", "torch")
    assert {name: type(value) for name, value in document.items()} == {
        "ksubset": str,
        "python": str,
        "platform": str,
        "agrees": bool,
        "fast_path": dict,
        "cuda_tensors_of_torch": str,
        "checked": list,
        "unusable": list,
        "missing": list,
    }
    entry = document["checked"][0]
    names = ("framework", "version", "device", "dtype", "agrees", "findings", "layer_ms", "paths")
    assert set(entry) == set(names)
    assert list(entry["findings"]) == ["marginals", "sampling", "gradient"]
    for finding in entry["findings"].values():
        assert set(finding) == {"agrees", "value", "bound", "problem"}
    assert list(entry["paths"])[-1] == "everything else"
    assert document["unusable"] == [{"framework": "torch", "device": None, "reason": "RuntimeError: no driver"}]
    assert [entry["module"] for entry in document["missing"]] == ["numpyro"]


def broken(module: object) -> list[places.Place]:
    raise RuntimeError("no driver\nand much more")


def test_a_framework_that_does_not_work_is_no_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_selfcheck, "is_installed", lambda module: module in ("numpy", "array_api_strict"))
    monkeypatch.setitem(places.PLACES, "array_api_strict", broken)
    monkeypatch.setattr(places, "import_module", lambda name: np)
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "array_api_strict: RuntimeError: no driver" in printed
    assert printed.endswith("Everything agrees.\n")
    assert main(["array_api_strict"]) == 1
    assert "NOT CHECKED, though asked for: array_api_strict" in capsys.readouterr().out
    assert main(["numpy", "array_api_strict"]) == 1
    assert "NOT CHECKED, though asked for: array_api_strict" in capsys.readouterr().out


def test_a_device_that_cannot_allocate(monkeypatch: pytest.MonkeyPatch) -> None:
    def array(numbers: object, dtype: str) -> object:
        raise MemoryError("none left")

    place = next(places.PLACES["numpy"](np))
    full = places.Place("numpy", "", "full", place.dtypes, array, place.values, place.rng, place.layer)
    monkeypatch.setitem(places.PLACES, "numpy", lambda _: [full])
    assert list(places.survey("numpy")) == [places.Unusable("numpy", "full", "MemoryError: none left")]
    monkeypatch.setitem(places.PLACES, "numpy", lambda _: [])
    assert list(places.survey("numpy")) == [places.Unusable("numpy", None, "it has no device")]


def off_by_a_little(logits: Any, k: Any, *rest: Any, **options: Any) -> Any:
    return ORIGINAL["marginals"](logits, k, *rest, **options) * (1 + 2e-5)


def without_replacement(logits: Any, k: int, *, rng: Any, sample_shape: tuple[int, ...] = ()) -> Any:
    """Gumbel top-k, which is another distribution."""
    noisy = logits + rng.gumbel(size=sample_shape + logits.shape)
    return (noisy >= np.sort(noisy)[..., -k, None]).astype(logits.dtype)


def one_too_many(logits: Any, k: int, **options: Any) -> Any:
    return ORIGINAL["rsample"](logits, k + 1, **options)


def scaled_by_its_row(logits: Any, k: Any, v: Any) -> Any:
    return ORIGINAL["marginals_jvp"](logits, k, v) * (1 - 1e-4 * np.tanh(logits))


def not_a_number(logits: Any, k: Any, *rest: Any) -> Any:
    return logits * np.nan


def raises(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("by zero")


ORIGINAL = {name: getattr(ksubset, name) for name in ("marginals", "marginals_jvp", "rsample")}


@pytest.mark.parametrize(
    ("name", "fault", "noticed"),
    [
        ("marginals", off_by_a_little, {"marginals"}),
        ("marginals", not_a_number, {"marginals"}),
        ("marginals", raises, {"marginals"}),
        ("sample", without_replacement, {"sampling"}),
        ("sample", raises, {"sampling"}),
        ("rsample", one_too_many, {"gradient"}),
        ("rsample", raises, {"gradient"}),
        ("marginals_jvp", scaled_by_its_row, {"gradient"}),
        ("marginals_jvp", not_a_number, {"gradient"}),
    ],
)
def test_faults_are_noticed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fault: Callable[..., Any],
    noticed: set[str],
) -> None:
    monkeypatch.setattr(ksubset, name, fault)
    status, document = checked(capsys, "numpy")
    assert status == 1
    for entry in document["checked"]:
        assert {check for check, finding in entry["findings"].items() if not finding["agrees"]} == noticed
        problems = {finding["problem"] for finding in entry["findings"].values()}
        assert problems == ({None, "ZeroDivisionError: by zero"} if fault is raises else {None})


def test_what_the_table_says_of_faults(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ksubset, "marginals", not_a_number)
    monkeypatch.setattr(ksubset, "rsample", raises)
    assert main(["numpy"]) == 1
    printed = capsys.readouterr().out
    assert "✗ not finite" in printed
    assert "✗ failed" in printed
    assert "numpy cpu float32, gradient: ZeroDivisionError: by zero" in printed
    assert printed.endswith("WRONG: numpy cpu float32, numpy cpu float64\n")


def test_colours_are_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(variable, raising=False)
    main(["numpy"])
    assert "\x1b[" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    main(["numpy"])
    assert "\x1b[32mEverything agrees.\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    main(["numpy"])
    assert "\x1b[" not in capsys.readouterr().out


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["tensorflow"])
    assert "unknown: tensorflow; known: numpy, torch" in capsys.readouterr().err


def bare(folder: Path, *modules: str) -> subprocess.CompletedProcess[str]:
    """Run the self-check where nothing can be imported but the library and these modules."""
    for name in ("ksubset", "array_api_compat", *modules):
        place = Path(import_module(name).__path__[0])
        for path in filter(Path.exists, (place, place.with_name(f"{name}.libs"))):
            (folder / path.name).symlink_to(path.resolve())
    code = f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); runpy.run_module('ksubset', run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "KSUBSET_FAST"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_with_numpy_alone(tmp_path: Path) -> None:
    done = bare(tmp_path, "numpy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "CPU fast path: off, numba is not installed" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith(f"numpy {np.__version__}")]) == 2
    for extra in ("torch", "jax", "cupy", "cuda13", "fast", "numpyro"):
        assert f"\n  {extra} " in done.stdout
    assert "CUDA tensors" not in done.stdout
    assert done.stdout.endswith("Everything agrees.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_without_any_framework(tmp_path: Path) -> None:
    done = bare(tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "\n  numpy " in done.stdout
    assert done.stdout.endswith("NOTHING CHECKED: there is no array framework that can be used\n")


@pytest.mark.parametrize("logits", checks.LOGITS)
def test_its_oracle_against_the_project_s(logits: list[float]) -> None:
    row = Enumeration(np.array(logits), checks.K)
    law = oracle.distribution(logits, checks.K)
    assert list(law) == [tuple(z) for z in row.subsets]
    np.testing.assert_allclose(list(law.values()), row.probabilities, rtol=1e-12)
    np.testing.assert_allclose(oracle.marginals(logits, checks.K), row.marginals, rtol=1e-12)
    product = oracle.jacobian_product(logits, checks.K, checks.G)
    np.testing.assert_allclose(product, row.covariance @ checks.G, rtol=1e-12, atol=1e-14)


def test_its_p_value() -> None:
    law = oracle.distribution(checks.LOGITS[0], checks.K)
    rng = np.random.default_rng(0)
    counts = dict(zip(law, rng.multinomial(checks.DRAWS, list(law.values())).tolist(), strict=True))
    expected = stats.chisquare(list(counts.values()), checks.DRAWS * np.array(list(law.values()))).pvalue
    assert oracle.chi_squared(counts, law) == pytest.approx(expected, rel=1e-9)
    assert min(law.values()) * checks.DRAWS > 20
    assert oracle.chi_squared({(1,) * 7: checks.DRAWS}, law) == 0
    with pytest.raises(ValueError, match="even number"):
        oracle.chi_squared({(1, 0): 1}, {(1, 0): 0.5, (0, 1): 0.5})
