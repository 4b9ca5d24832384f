"""The house: which folder may import from which, that no module needs itself, and that what is packaged is there."""

import ast
import pickle
import runpy
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import ksubset

PACKAGE = Path(ksubset.__file__).parent
BELOW = {
    "ksubset._engine": (),
    "ksubset._law": ("ksubset._engine",),
    "ksubset.backends._cpu": (
        "ksubset._engine",
        "ksubset._law",
        "ksubset.backends.array_api",
        "ksubset.backends.trust",
    ),
    "ksubset.backends._cuda": ("ksubset._engine", "ksubset._law", "ksubset.backends.trust"),
}
"""What the modules of a folder may import beside each other."""

FILES = {
    ".".join(
        ("ksubset", *(part for part in file.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"))
    ): file
    for file in (*PACKAGE.rglob("*.py"), *(PACKAGE / "backends").rglob("*.py"))
}


def _imports(node: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """The modules of the project that a module imports, and whether a function does it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                name = f"{child.module}.{alias.name}"
                yield (name if name in FILES else child.module), inside
        elif isinstance(child, ast.Import):
            yield from ((alias.name, inside) for alias in child.names)
        yield from _imports(child, inside or isinstance(child, ast.FunctionDef | ast.Lambda))


@cache
def imports(module: str, inside: bool) -> frozenset[str]:
    """What a module imports when it is imported, for the type checker too, or what its functions import."""
    found = _imports(ast.parse(FILES[module].read_text()))
    return frozenset(name for name, lazy in found if name in FILES and name != module and lazy == inside)


def test_no_module_needs_itself() -> None:
    done: set[str] = set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " needs ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in sorted(imports(module, False)):
                follow(other, (*way, module))
            done.add(module)

    for module in FILES:
        follow(module, ())
    assert len(done) == len(FILES) > 100


def test_the_house_has_few_floors() -> None:
    """A folder of ``ksubset/`` stands above the folders that it imports; a circle of them is an error."""
    below: dict[str, set[str]] = {}
    for module in FILES:
        below.setdefault(_folder(module), set()).update(map(_folder, imports(module, False)))
    del below["ksubset.backends"]  # adapters, which the house finds by name
    stands_on = {name: others & below.keys() - {name} for name, others in below.items()}
    floors: dict[str, int] = {}
    for name in TopologicalSorter(stands_on).static_order():
        floors[name] = 1 + max((floors[other] for other in stands_on[name]), default=0)
    assert max(floors.values()) <= 8, floors


def _folder(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("name", BELOW)
def test_lower_folders_know_nothing_of_higher_ones(name: str) -> None:
    allowed = (name, *BELOW[name])
    for module in FILES:
        if f"{module}.".startswith(f"{name}."):
            for other in imports(module, False) | imports(module, True):
                assert f"{other}.".startswith(tuple(f"{one}." for one in allowed)), f"{module} imports {other}"


def test_every_folder_is_packaged() -> None:
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {module for module, file in FILES.items() if file.name == "__init__.py"}
    assert set(settings["packages"]) == folders
    for name, place in settings["package-dir"].items():
        assert (PACKAGE.parent / place).resolve() == FILES[name].parent.resolve()


def test_the_table_of_mutants_names_modules_and_tests_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parent.parent / "mutation"
    monkeypatch.syspath_prepend(str(folder))
    table = runpy.run_path(str(folder / "run.py"))["TESTS"]
    assert {f"ksubset.{module}" for module in table} <= FILES.keys()
    there = {file.name for file in folder.parent.rglob("test_*.py")}
    assert set().union(*table.values()) <= there


@pytest.mark.parametrize("name", ["KSubset", "Cardinality", "MaskWarning"])
def test_public_classes_are_found_where_they_are_exported(name: str) -> None:
    """So what is pickled today is found by the next version, wherever the class is written there."""
    public = getattr(ksubset, name)
    assert (public.__module__, public.__qualname__) == ("ksubset", name)
    assert pickle.loads(pickle.dumps(public)) is public


def test_objects_survive_a_pickle() -> None:
    d = pickle.loads(pickle.dumps(ksubset.KSubset(np.zeros(4), ksubset.at_most(2))))
    np.testing.assert_array_equal(d.mean, ksubset.marginals(np.zeros(4), ksubset.at_most(2)))
