"""Compiled kernels on disk: what is damaged, stale, not to be written or open to others costs time alone."""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from folders import needs_owners

pytest.importorskip("numba", reason="the CPU fast path needs numba, of the extra fast")
from numba import config

from ksubset import _engine
from ksubset.backends import trust
from ksubset.backends._cpu import caching, compiling

SCRIPT = "import numpy as np, ksubset; print(ksubset.marginals(np.zeros(4), 2)); ksubset.show_config()"
BITS = """
import sys, numpy as np, ksubset
x = np.random.default_rng(0).normal(size=(100, 256)).astype("float32")
sys.stdout.write(ksubset.marginals(x, 40).tobytes().hex())
"""


def one_more(x: float) -> float:
    return x + 1


def fresh() -> Any:
    """The function as a new process would have it."""
    return compiling.kernel(one_more)


def hits(kernel: Any) -> int:
    return sum(kernel.stats.cache_hits.values())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one place where kernels may be kept."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(caching._Kept, "_locator_classes", caching._Kept._locator_classes[:1])
    monkeypatch.setattr(caching, "_said", set())
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nb?"))


def test_kept(folder: Path) -> None:
    for x in (1, 1.5):
        assert fresh()(x) == x + 1
    kernel = fresh()
    assert [kernel(1), kernel(1.5)] == [2, 2.5]
    assert hits(kernel) == len(files(folder)) == 2


@pytest.mark.parametrize(
    "damage", [lambda x: x[:-9], lambda x: x[:20], lambda x: b"", lambda x: x[:999] + bytes(99) + x[1098:]]
)
def test_a_damaged_file_is_named_and_made_anew(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    fresh()(1)
    (file,) = files(folder)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(RuntimeWarning, match=re.escape(str(file))):
        assert fresh()(1) == 2
    kernel = fresh()
    assert (kernel(1), hits(kernel)) == (2, 1)


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching._Files, "_open_for_write", fail)
    kernel = fresh()
    with pytest.warns(RuntimeWarning, match=f"{folder}.*No space left") as said:
        assert [kernel(1), kernel(1.5), fresh()(1)] == [2, 2.5, 2]
    assert len(said) == 1


def test_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setattr(config, "CACHE_DIR", str(folder / "file" / "below"))
    with pytest.warns(RuntimeWarning, match="no folder .*NUMBA_CACHE_DIR") as said:
        assert [fresh()(1), fresh()(1)] == [2, 2]
    assert len(said) == 1


def test_processes_that_compile_at_once_keep_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second saves while the first does."""
    write, other = caching._Files._open_for_write, fresh()

    def write_after_the_other(self: Any, path: str) -> Any:
        monkeypatch.setattr(caching._Files, "_open_for_write", write)
        other(1.5)
        return write(self, path)

    monkeypatch.setattr(caching._Files, "_open_for_write", write_after_the_other)
    fresh()(1)
    kernel = fresh()
    assert [kernel(1), kernel(1.5)] == [2, 2.5]
    assert hits(kernel) == 2


@pytest.mark.slow
def test_cold_processes_at_once(folder: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "KSUBSET_FAST": "1"}
    running = [subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, env=env) for _ in range(3)]
    assert all(p.communicate()[0].startswith(b"[0.5 0.5 0.5 0.5]") for p in running)


def test_what_is_compiled_and_what_is_read_round_alike(folder: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "KSUBSET_FAST": "1"}
    first, second = (subprocess.run([sys.executable, "-c", BITS], capture_output=True, env=env) for _ in range(2))
    assert b"compiling" in first.stderr
    assert b"compiling" not in second.stderr
    assert first.stdout == second.stdout


def test_other_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh()(1)
    monkeypatch.setattr(caching, "SOURCES", b"others")
    for expected in (0, 1):
        kernel = fresh()
        assert (kernel(1), hits(kernel)) == (2, expected)
    assert len(files(folder)) == 1


@pytest.mark.parametrize("changed", ["kernels/kernels/exchange.py", "core/elementary.py", "core/power_sums.py"])
def test_any_change_of_a_source_counts(folder: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    for name, origin in (("core", _engine), ("kernels", caching)):
        shutil.copytree(Path(origin.__file__).parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(caching, "__file__", str(folder / "kernels" / "caching.py"))
    monkeypatch.setattr(caching, "elementary", SimpleNamespace(__file__=str(folder / "core" / "elementary.py")))
    assert caching._sources() == caching.SOURCES
    with (folder / changed).open("a") as file:
        file.write("\n")
    assert caching._sources() != caching.SOURCES


def test_the_kernels_are_made_of_no_other_source() -> None:
    package = Path(caching.__file__).parent
    imported = [re.findall(r"from ksubset\.(_[\w.]+) ", file.read_text()) for file in package.glob("*/*.py")]
    compiled = {name for names in imported for name in names}
    assert compiled == {"_engine.elementary", "_engine.power_sums"}


@needs_owners
@pytest.mark.parametrize("place", [".", "below"])
def test_a_folder_that_others_may_write_to_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(folder / "below"))
    fresh()(1)
    leaf = files(folder)[0].parent
    assert trust.distrust(str(leaf)) is None
    (folder / place).chmod(0o777)
    with pytest.warns(RuntimeWarning, match="compiled kernels") as said:
        kernels = fresh(), fresh()
    assert [(kernel(1), hits(kernel)) for kernel in kernels] == [(2, 0), (2, 0)]
    why, nowhere = (str(warning.message) for warning in said)
    assert why.endswith(f"not kept in {leaf}: other users may write to {(folder / place).resolve()}")
    assert nowhere.startswith("there is no folder")
    (folder / place).chmod(0o1777)  # sticky: nobody can move what is below
    assert trust.distrust(str(leaf)) is None
    leaf.chmod(0o1777)
    assert trust.distrust(str(leaf)) == f"other users may write to {leaf}"


@needs_owners
def test_a_group_of_one_may_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    folder.chmod(0o775)
    owner = pwd.getpwuid(os.getuid()).pw_name
    for name, members, trusted in ((owner, [], True), (owner, [owner, "x"], False), ("team", [], False)):
        group = SimpleNamespace(gr_name=name, gr_mem=members)
        monkeypatch.setattr(grp, "getgrgid", lambda _, group=group: group)
        assert (trust.distrust(str(folder)) is None) == trusted


@needs_owners
def test_a_folder_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat, theirs = Path.stat, folder.resolve()

    def owned(path: Path, **options: bool) -> Any:
        found = stat(path, **options)
        return os.stat_result((*found[:4], 4321, *found[5:10])) if path == theirs else found

    monkeypatch.setattr(Path, "stat", owned)
    assert trust.distrust(str(folder)) == f"{theirs} belongs to another user, 4321"
    assert trust.distrust(str(folder / "..")) is None


def test_numba_that_does_not_compile() -> None:
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "KSUBSET_FAST": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.startswith("[0.5 0.5 0.5 0.5]")
    assert "CPU fast path: off, NUMBA_DISABLE_JIT is set" in done.stdout
