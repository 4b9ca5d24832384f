"""The core as one opaque operation for `torch.compile`, which would otherwise unroll hundreds of small ones.

It has no derivative of its own: it is called inside the Functions of ``_torch_autograd``. Eager code calls the core
directly, which costs 0.2 ms less per call.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ksubset import _functions
from ksubset._typing import Ops


@torch.library.custom_op("ksubset::evaluate", mutates_args=())
def evaluate_compiled(
    name: str, size: int, width: int, logits: Tensor, k: Tensor | None, arrays: Sequence[Tensor]
) -> Tensor:
    """One of ``ksubset._functions`` by name; ``size`` is k where that is one number."""
    from ksubset.backends.torch import ops

    return _run(ops(logits), name, size, width, logits, k, arrays)


@evaluate_compiled.register_fake
def _(name: str, size: int, width: int, logits: Tensor, k: Tensor | None, arrays: Sequence[Tensor]) -> Tensor:
    from ksubset.backends.torch import LAZY

    return _run(LAZY, name, size, width, logits, k, arrays)


def _run(
    ops: Ops, name: str, size: int, width: int, logits: Tensor, k: Tensor | None, arrays: Sequence[Tensor]
) -> Tensor:
    result: Tensor = getattr(_functions, name)(ops, logits, size if k is None else k, width, *arrays)
    return result.contiguous()
