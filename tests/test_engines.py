"""The two engines, tree and sequential, give the same answers."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from cases import all_sizes, with_infinities
from conftest import Target

from ksubset import _window
from ksubset._inference import jacobian_product, solve
from ksubset._typing import Ops
from ksubset.backends import find


def length(xs: Any) -> int:
    """Of what a loop goes over: an array, or a tuple of them or of tuples."""
    return length(xs[0]) if isinstance(xs, tuple) else int(xs.shape[0])


def python_scan(xp: Any) -> Any:
    """`jax.lax.scan` as a loop over the first axis of a tuple, or of tuples, of arrays."""

    def item(xs: Any, i: int) -> Any:
        return tuple(item(x, i) for x in xs) if isinstance(xs, tuple) else xs[i, ...]

    def stack(ys: list[Any]) -> Any:
        return tuple(map(stack, zip(*ys, strict=True))) if isinstance(ys[0], tuple) else xp.stack(ys, axis=0)

    def scan(step: Any, carry: Any, xs: Any, reverse: bool) -> tuple[Any, Any]:
        ys, order = [], range(length(xs))
        for i in reversed(order) if reverse else order:
            carry, y = step(carry, item(xs, i))
            ys.append(y)
        return carry, stack(ys[::-1] if reverse else ys)

    return scan


def both(target: Target) -> tuple[Ops, Ops]:
    base = find(target.array([0.0]), "x").ops(target.array([0.0]))
    sequential = base if base.scan else dataclasses.replace(base, scan=python_scan(base.xp))
    return dataclasses.replace(base, scan=None), sequential


@pytest.mark.parametrize("n", [2, 3, 9, 30])
def test_engines_agree(target: Target, n: int, rng: np.random.Generator) -> None:
    k = np.arange(n + 1)
    logits, v = target.array(rng.normal(size=(n + 1, n)) * 5), target.array(rng.normal(size=(n + 1, n)))
    compare(target, logits, target.array(k), n // 2, v)
    compare(target, logits, n // 3, n // 3, v)


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_windows_are_for_the_tree(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequential engine would go through all counts."""
    monkeypatch.setattr(_window, "DIRECT_SIZE", 300)
    monkeypatch.setattr(_window, "DIRECT_WIDTH", 50)

    def scan(*given: Any) -> Any:
        raise AssertionError("the sequential engine runs")

    x = target.array(np.zeros((1, 400)))
    ops = dataclasses.replace(both(target)[0], scan=scan)
    assert (abs(target.to_numpy(solve(ops, x, 200, 200).chosen) - 0.5) < 1e-5).all()
    assert (abs(target.to_numpy(jacobian_product(ops, x, 200, 200, x))) < 1e-5).all()


@pytest.mark.backends("numpy", "strict", "torch", "cupy")
def test_the_sequential_engine_takes_blocks_of_four_items(target: Target) -> None:
    blocks, x = [], target.array(np.zeros((1, 30)))
    ops = both(target)[1]

    def scan(step: Any, carry: Any, xs: Any, reverse: bool) -> tuple[Any, Any]:
        blocks.append(length(xs))
        return ops.scan(step, carry, xs, reverse)

    for function in (solve, lambda *given: jacobian_product(*given, x)):
        blocks.clear()
        function(dataclasses.replace(ops, scan=scan), x, 10, 10)
        assert blocks == [8, 8]


def test_engines_agree_on_infinities(target: Target, rng: np.random.Generator) -> None:
    for batch in (with_infinities(4), all_sizes(1)):
        v = target.array(rng.normal(size=batch.logits.shape))
        compare(target, target.array(batch.logits), target.array(batch.k), batch.logits.shape[1] // 2, v)


def compiled(target: Target, function: Any) -> Any:
    """JAX compiles a program for every operation it is given one at a time; better one for all."""
    if target.backend != "jax":
        return function
    import jax

    return jax.jit(function)


def compare(target: Target, logits: Any, k: Any, width: int, v: Any) -> None:
    tree, sequential = both(target)
    close = {"rtol": target.tolerance(1e-5, 1e-13), "atol": target.tolerance(1e-6, 1e-14)}
    one, two = (compiled(target, lambda x, ops=ops: solve(ops, x, k, width))(logits) for ops in (tree, sequential))
    for name in ("log_volume", "chosen", "unchosen"):
        np.testing.assert_allclose(target.to_numpy(getattr(one, name)), target.to_numpy(getattr(two, name)), **close)
    products = [
        compiled(target, lambda x, ops=ops: jacobian_product(ops, x, k, width, v))(logits) for ops in (tree, sequential)
    ]
    np.testing.assert_allclose(*map(target.to_numpy, products), **close)
