"""What a user sees after ``pip install``: run from an empty folder by the build session."""

import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

import ksubset


def test_top_level_holds_one_package() -> None:
    tops = {name for name, owners in metadata.packages_distributions().items() if "ksubset" in owners}
    assert {top for top in tops if not top.startswith("__")} <= {"ksubset"}


def test_import_brings_no_framework() -> None:
    frameworks = "'numpy', 'torch', 'jax', 'cupy', 'numba'"
    used = "ksubset.estimators.simple, ksubset.survey.draw, dir(ksubset), dir(ksubset.backends)"
    assert printed(f"import sys, ksubset; {used}; print(*[m for m in ({frameworks}) if m in sys.modules])") == ""


def test_parts_are_attributes_that_are_completed() -> None:
    assert {"backends", "estimators", "marginals", "survey"} <= set(dir(ksubset))
    for name in ("numpy", "estimator"):
        assert not hasattr(ksubset, name)
    assert not hasattr(ksubset.backends, "numpy")


@pytest.mark.parametrize("name", ["torch", "flax"])
def test_frameworks_are_attributes_where_they_are_installed(name: str) -> None:
    code = f"import sys, ksubset; sys.modules['flax'] = None; print({name!r} in dir(ksubset.backends), end=' '); "
    found = printed(f"{code}print(getattr(ksubset.backends, {name!r}, None) is not None)")
    assert found == ("True True" if name == "torch" and find_spec("torch") else "False False")


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_version_is_the_distributions() -> None:
    assert ksubset.__version__ == metadata.version("ksubset")


def test_it_is_typed() -> None:
    assert (Path(ksubset.__file__).parent / "py.typed").exists()


def test_it_works() -> None:
    np = pytest.importorskip("numpy", reason="NumPy is not installed in this environment")
    assert ksubset.marginals(np.zeros(4), 2).tolist() == pytest.approx([0.5] * 4)
    assert ksubset.sample(np.zeros(4), 2, rng=0).sum() == 2


def test_it_checks_itself() -> None:
    pytest.importorskip("numpy", reason="NumPy is not installed in this environment")
    done = subprocess.run([sys.executable, "-m", "ksubset", "numpy"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
