"""Which calls the kernels take, and which the core computes on the device instead."""

from math import prod
from typing import TypeGuard

from ksubset._engine.ops import Array
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cuda import teams, tree
from ksubset.backends._cuda.launch import Device, Launch

MOST_ITEMS = 1 << 24
"""Up to it float32 counts items exactly."""

BY_CORE = {
    "mode": "a sort is all it takes",
    "count_log_pmf": "its recursion has no CUDA kernel",
    "everything else": "there is no kernel for it",
}
"""Functions without a kernel, and why."""

OWN = {"marginals_jvp": "ksubset_jacobian", "draw": "ksubset_sample"}
"""Kernels of functions by their names; the kernel of any other function is `ksubset_solve`."""


def suits(law: Law, logits: Array) -> TypeGuard[FixedSize]:
    """Whether subsets have one size, and a block is enough for a row."""
    if not isinstance(law, FixedSize):
        return False
    n, rows = logits.shape[-1], prod(logits.shape[:-1])
    return bool(0 < n <= MOST_ITEMS and 0 < rows < 1 << 31)


def weighs(law: Law, parameters: Array) -> TypeGuard[SizeWeighted]:
    """Whether sizes have weights, and the kernels take each size of each row."""
    if not isinstance(law, SizeWeighted):
        return False
    n, rows = law.items_among(parameters.shape[-1]), prod(parameters.shape[:-1])
    return bool(0 < n <= MOST_ITEMS and 0 < rows * law.sizes < 1 << 31)


def draws(law: Law, parameters: Array) -> TypeGuard[FixedSize | SizeWeighted]:
    """Whether a kernel draws subsets from a seed."""
    return suits(law, parameters) or weighs(law, parameters)


def suits_given(law: Law, logits: Array) -> TypeGuard[FixedSize]:
    """The same where uniforms are given, which need a tree."""
    return suits(law, logits) and tree.suits(law, logits)


def path(device: Device, law: Law, name: str, logits: Array) -> Launch | str:
    """Say how one of ``ksubset._law.functions``, or ``draw``, would be launched, or why the core computes it."""
    if name in BY_CORE:
        return BY_CORE[name]
    n, sizes = law.items_among(logits.shape[-1]), law.sizes if isinstance(law, SizeWeighted) else 1
    if not draws(law, logits):
        return f"blocks take 1 to {MOST_ITEMS} items; got rows of {n} in {tuple(logits.shape)}"
    rows, kernel = prod(logits.shape[:-1]), OWN.get(name, "ksubset_solve")
    return teams.plan(kernel, rows, n, logits.dtype, device, draws=int(name == "draw"), sizes=sizes)
