"""Which calls the kernels take, and which the core computes on the device instead."""

from math import prod
from typing import TypeGuard

from ksubset._engine.ops import Array
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends._cuda import teams, tree
from ksubset.backends._cuda.launch import Device, Launch

MOST_ITEMS = 1 << 18
"""Past it a row is work for the whole device: half a millisecond of one block, estimated from instruction counts."""

BY_CORE = {
    "mode": "a sort is all it takes",
    "count_log_pmf": "its recursion has no CUDA kernel",
    "everything else": "there is no kernel for it",
}
"""Functions without a kernel, and why."""

OWN = {"marginals_jvp": "ksubset_jacobian", "draw": "ksubset_sample"}
"""Kernels of functions by their names; those of all others start from `ksubset_solve`."""


def suits(law: Law, logits: Array) -> TypeGuard[FixedSize]:
    """Whether subsets have one size, and a block is enough for a row."""
    if not isinstance(law, FixedSize):
        return False
    n, rows = logits.shape[-1], prod(logits.shape[:-1])
    return bool(0 < n <= MOST_ITEMS and 0 < rows < 1 << 31)


def suits_given(law: Law, logits: Array) -> TypeGuard[FixedSize]:
    """The same where uniforms are given, which need a tree."""
    return suits(law, logits) and tree.suits(law, logits)


def path(device: Device, law: Law, name: str, logits: Array) -> Launch | str:
    """Say how one of ``ksubset._law.functions``, or ``draw``, would be launched, or why the core computes it."""
    if not isinstance(law, FixedSize):
        return "blocks take subsets of a given size"
    if name in BY_CORE:
        return BY_CORE[name]
    if not suits(law, logits):
        return f"blocks take 1 to {MOST_ITEMS} items; got rows of {logits.shape[-1]} in {tuple(logits.shape)}"
    return teams.plan(OWN.get(name, "ksubset_solve"), logits, device, draws=int(name == "draw"))
