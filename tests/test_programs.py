"""Generated programs: a few in every slow session, 1000 of each framework in `nox -s programs`; and what they find."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Target
from programs.compare import check
from programs.execute import answer
from programs.grammar import draw

import ksubset
from ksubset import _derivatives
from ksubset.backends import torch as adapter

generated = pytest.mark.backends("torch", "jax")


@generated
def test_a_seed_repeats_a_program(target: Target) -> None:
    texts = [str(draw(target.backend, seed, 3, True)) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith(f"{target.backend}: ")


@generated
@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
def test_programs(target: Target, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSUBSET_FAST", str(int(fast)))
    for index in range(100 if target.backend == "torch" else 20):
        program = draw(target.backend, 0, index, fast)
        try:
            check(program, answer(program))
        except Exception as error:
            error.add_note(f"program {index}: {program}")
            raise


def by_address(function: Callable[..., Any]) -> Callable[..., Any]:
    """Read a tensor as if it were contiguous."""

    def wrong(logits: Any, k: Any, *rest: Any, **options: Any) -> Any:
        strides = logits.new_empty(logits.shape, device="meta").stride()
        fits = logits.numel() and not logits.is_contiguous() and 0 not in logits.stride()
        return function(logits.as_strided(logits.shape, strides) if fits else logits, k, *rest, **options)

    return wrong


def one_more(function: Callable[..., Any]) -> Callable[..., Any]:
    """Another k in one kernel."""

    def wrong(name: str, logits: Any, k: Any, width: int, *arrays: Any) -> Any:
        n = logits.shape[-1]
        moved = name == "marginals_jvp" and isinstance(k, int) and k + 1 < n
        return function(
            name, logits, k + 1 if moved else k, max(width, min(k + 1, n - k - 1)) if moved else width, *arrays
        )

    return wrong


FAULTS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "strides": (ksubset, "marginals", by_address),
    "k + 1": (adapter._torch_fast, "evaluate", one_more),
    "masks": (_derivatives, "finite", lambda _: lambda xp, x: x),
}


@pytest.mark.backends("torch")
@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_within_300_programs(target: Target, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, fault = FAULTS[name]
    monkeypatch.setattr(module, attribute, fault(getattr(module, attribute)))
    assert any(fails(index) for index in range(300))


def fails(index: int) -> bool:
    program = draw("torch", 1, index, fast=True)
    try:
        check(program, answer(program))
    except Exception:
        return True
    return False
