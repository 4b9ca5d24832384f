"""Generated programs: a few in every slow session, 1000 of each framework in `nox -s programs`; and what they find."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from conftest import Target
from programs.compare import check
from programs.execute import answer
from programs.grammar import BLOCK, draw

from ksubset._law.fixed_size import FixedSize
from ksubset._law.functions import marginals_jvp

generated = pytest.mark.backends("torch", "jax")


@generated
def test_a_seed_repeats_a_program(target: Target) -> None:
    texts = [str(draw(target.backend, seed, 3)) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith(f"{target.backend}: ")


@generated
@pytest.mark.slow
@pytest.mark.parametrize("block", [0, 1])
def test_programs(target: Target, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if target.backend == "jax":
        pytest.importorskip("numpyro", reason="programs of JAX use NumPyro's distribution, too: see `nox -s programs`")
    monkeypatch.setenv("KSUBSET_FAST", str(block))
    for index in range(block * BLOCK, block * BLOCK + (100 if target.backend == "torch" else 20)):
        program = draw(target.backend, 0, index)
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

    def wrong(of: Callable[..., Any], law: Any, logits: Any, *arrays: Any) -> Any:
        n = logits.shape[-1]
        if of is marginals_jvp and isinstance(law, FixedSize) and isinstance(law.k, int) and law.k + 1 < n:
            law = FixedSize(law.k + 1, max(law.width, min(law.k + 1, n - law.k - 1)))
        return function(of, law, logits, *arrays)

    return wrong


def careless(ops: Any, t: Any, mean: Any) -> Any:
    """Infinity times 0 is NaN."""
    return (abs(t) * ops.xp.where(t > 0, mean.unchosen, mean.chosen)).sum(-1)


FAULTS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "strides": ("ksubset", "marginals", by_address),
    "k + 1": ("ksubset.backends.torch.cpu", "evaluate", one_more),
    "masks": ("ksubset._law.fixed_size", "unlikely_cost", lambda _: careless),
}


@pytest.mark.backends("torch")
@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_within_300_programs(target: Target, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, attribute, fault = FAULTS[name]
    if path == "ksubset.backends.torch.cpu":
        pytest.importorskip("numba", reason="this fault is put into a kernel, and kernels need numba")
    module = import_module(path)
    monkeypatch.setattr(module, attribute, fault(getattr(module, attribute)))
    found = next(index for index in range(300) if fails(index))
    monkeypatch.undo()
    assert not fails(found)


def fails(index: int) -> bool:
    program = draw("torch", 1, index)
    try:
        check(program, answer(program))
    except Exception:
        return True
    return False
