"""Help that stands alone: an entry for each parameter, in the same words everywhere, and a gradient's example."""

import inspect
import re
from collections.abc import Callable, Iterator

import pytest

import ksubset
from ksubset import estimators, survey

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (ksubset, estimators, survey)
    for name in module.__all__
    if name not in ("MaskWarning", "AIMLEState", "Estimate")  # their fields are attributes
}
METHODS = {f"KSubset.{name}": method for name, method in vars(ksubset.KSubset).items() if inspect.isfunction(method)}
METHODS = {name: method for name, method in METHODS.items() if not name.startswith("KSubset._")}
SECTION = re.compile(r"^(\w[\w ]*)\n-+\n", re.MULTILINE)
ENTRY = re.compile(r"^(\w[\w, ]*) : .+\n((?: +.+\n|\n)+)", re.MULTILINE)
NO_GRADIENT = {"sample", "sample_from_uniforms", "mode", "mode_indices", "count_quantile", "show_config"}
NO_GRADIENT |= {"Cardinality", "at_most", "at_least", "between", "Gumbel", "SumOfGamma"}


def sections(function: Callable[..., object]) -> dict[str, str]:
    _, *parts = SECTION.split(inspect.getdoc(function) or "")
    return dict(zip(parts[::2], (f"{part}\n" for part in parts[1::2]), strict=True))


def parameters(function: Callable[..., object]) -> Iterator[tuple[str, str]]:
    for names, text in ENTRY.findall(sections(function).get("Parameters", "")):
        yield from ((name, " ".join(text.split())) for name in names.split(", "))


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_every_parameter_has_an_entry(name: str) -> None:
    function = (PUBLIC | METHODS)[name]
    expected = [name for name in inspect.signature(function).parameters if name != "self"]
    assert [name for name, _ in parameters(function)] == expected


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_nothing_sends_the_reader_to_another_function(name: str) -> None:
    found = sections((PUBLIC | METHODS)[name])
    for section in ("Parameters", "Returns", "Raises", "References"):
        assert not re.search(r"\bas in\s+`", found.get(section, ""), re.IGNORECASE)


@pytest.mark.parametrize("shared", ["max_k", "validate", "rng", "sample_shape", "noise"])
def test_shared_parameters_are_described_in_the_same_words(shared: str) -> None:
    texts = {text for f in (PUBLIC | METHODS).values() for name, text in parameters(f) if name == shared}
    assert len({text.partition(". ")[0] for text in texts}) == 1


@pytest.mark.parametrize("name", [name for name in PUBLIC if "survey" not in name])
def test_a_gradient_has_an_example(name: str) -> None:
    """`nox -s doctest` runs it."""
    example = sections(PUBLIC[name]).get("Examples", "")
    has = ">>> import torch" in example and (".backward()" in example or "autograd.grad" in example)
    assert has is (name.rpartition(".")[2] not in NO_GRADIENT)
