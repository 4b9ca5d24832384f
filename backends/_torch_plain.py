"""Which torch tensors hold their values in memory of their own, here and now."""

import torch


def is_eager(x: torch.Tensor) -> bool:
    """Neither under `torch.func` nor under `torch.compile`, nor a fake tensor or one made of others."""
    if torch.compiler.is_compiling() or type(x).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(x)


def is_plain(x: torch.Tensor) -> bool:
    """Whether a kernel may have the address of ``x``: of no subclass, and no dispatch mode records what happens."""
    return type(x) in (torch.Tensor, torch.nn.Parameter) and is_eager(x) and not torch._C._len_torch_dispatch_stack()
