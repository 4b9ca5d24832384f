"""The distribution as a `torch.distributions.Distribution`."""

from math import comb
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl

import ksubset
from ksubset._call.argument_checks import kind
from ksubset._law.support import MOST_SUBSETS, subsets
from ksubset.backends import is_spread


class _Logits(constraints.Constraint):
    """Numbers and infinities along the last axis, but no NaN."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value == value).all(-1)


class _Subset(constraints.Constraint):
    """0 and 1 along the last axis, adding up to k."""

    is_discrete = True
    event_dim = 1

    def __init__(self, k: int | Tensor) -> None:
        self.k = k
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        binary = ((value == 0) | (value == 1)).all(-1)
        return binary & (value.sum(-1) == self.k)


class KSubset(Distribution):
    r"""Random subsets of exactly k of n items, :math:`p(z) \propto \exp(\theta \cdot z)`.

    Every method is exact and differentiable in the logits; `rsample` carries the SIMPLE gradient.

    Parameters
    ----------
    logits : Tensor, shape (..., n)
        Real floating; −∞ excludes an item, +∞ includes it.
    k : int or Tensor of integers
        Broadcasts to the batch shape (...).
    validate_args : bool, optional
        As for every distribution of torch; on by default.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    Notes
    -----
    `torch.distributions.MixtureSameFamily` asks its components for one support, so there ``k`` must be an int.

    Examples
    --------
    >>> import torch
    >>> from ksubset.backends.torch import KSubset
    >>> d = KSubset(torch.tensor([2.0, 1.0, 0.0, -1.0]), 2)
    >>> d.batch_shape, d.event_shape, d.sample((3,)).sum(-1)
    (torch.Size([]), torch.Size([4]), tensor([2., 2., 2.]))
    """

    __module__ = "ksubset.backends.torch"

    arg_constraints: ClassVar[dict[str, Any]] = {"logits": _Logits()}
    has_rsample = True

    def __init__(self, logits: Any, k: int | Tensor, validate_args: bool | None = None) -> None:
        if isinstance(k, ksubset.Cardinality):
            raise TypeError("k must be an int or integers, one size for each row; ksubset.KSubset takes a Cardinality")
        if not isinstance(logits, Tensor):
            remedy = "convert it by torch.from_numpy or torch.as_tensor; ksubset.KSubset takes arrays of any framework"
            raise TypeError(f"logits must be a Tensor; got {kind(logits)}: {remedy}")
        validates = self._validate_args if validate_args is None else validate_args
        self._subsets = ksubset.KSubset(logits, k, validate=None if validates else False)
        self.logits, self.k = self._subsets.logits, self._subsets.k
        super().__init__(logits.shape[:-1], logits.shape[-1:], False if is_spread(logits) else validate_args)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]  # a class attribute of torch's own
        """Whether `enumerate_support` lists the subsets."""
        return isinstance(self.k, int) and comb(self.event_shape[0], self.k) <= MOST_SUBSETS

    @property
    def support(self) -> constraints.Constraint:
        return _Subset(self.k)

    @property
    def mean(self) -> Tensor:
        result: Tensor = self._subsets.mean
        return result

    @property
    def variance(self) -> Tensor:
        result: Tensor = self._subsets.variance
        return result

    @property
    def mode(self) -> Tensor:
        result: Tensor = self._subsets.mode()
        return result

    def expand(self, batch_shape: Any, _instance: Any = None) -> "KSubset":
        shape = torch.Size(batch_shape)
        k = self.k if isinstance(self.k, int) else self.k.expand(shape)
        new = type(self)(self.logits.expand(*shape, *self.event_shape), k, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            result: Tensor = self._subsets.sample(sample_shape=tuple(sample_shape))
        return result

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        result: Tensor = self._subsets.rsample(sample_shape=tuple(sample_shape))
        return result

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        result: Tensor = self._subsets.log_prob(value)
        return result

    def entropy(self) -> Tensor:
        result: Tensor = self._subsets.entropy()
        return result

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The subsets that are possible in any row, (subsets, ..., n), for one k and at most a million of them."""
        n = self.event_shape[0]
        if not isinstance(self.k, int):
            raise NotImplementedError("enumerate_support needs one k for all rows; got a tensor")
        if comb(n, self.k) > MOST_SUBSETS:
            raise NotImplementedError(f"enumerate_support lists at most {MOST_SUBSETS} subsets; got {comb(n, self.k)}")
        z = torch.from_numpy(subsets(n, self.k)).to(self.logits.device, self.logits.dtype)
        z = z[_possible(z, self.logits.detach().reshape(self.batch_shape.numel(), n))]
        z = z.reshape(len(z), *(1,) * len(self.batch_shape), n)
        return z.expand(-1, *self.batch_shape, n) if expand else z


def _possible(z: Tensor, logits: Tensor) -> Tensor:
    """Which of the subsets infinite logits allow in some row."""
    out = torch.full((len(z),), logits.numel() == 0, device=z.device)
    if logits.numel() == 0:
        return out
    for row in logits.masked_fill(logits.isfinite(), 0).unique(dim=0):
        out |= ~(((row == -torch.inf) & (z == 1)) | ((row == torch.inf) & (z == 0))).any(-1)
    return out


@register_kl(KSubset, KSubset)
def _kl(p: KSubset, q: KSubset) -> Tensor:
    result: Tensor = ksubset.kl_divergence(p.logits, q.logits, _common_k(p, q))
    return result


def _common_k(p: KSubset, q: KSubset) -> int | Tensor:
    """The k of both; if the two differ, no subset of one distribution is possible under the other."""
    different = torch.as_tensor(p.k) != torch.as_tensor(q.k)
    if bool(different.any()):
        raise NotImplementedError(f"KL(KSubset || KSubset) needs the same k; got {p.k} and {q.k}")
    return p.k
