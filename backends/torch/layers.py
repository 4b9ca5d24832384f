"""Layers: from logits to subsets, and a gate with logits of its own."""

from typing import Any

import torch
from torch import Tensor

from ksubset._call.cardinality import Cardinality
from ksubset.backends.layers import Choosing, Estimator, check_size, rows_of


class SubsetSampler(Choosing, torch.nn.Module):
    """A layer that turns logits into subsets: draws in training, the mode or the marginals in evaluation.

    It has no parameters and no state. Each argument is an attribute of the same name, to be changed at any time.

    Parameters
    ----------
    k : int, Tensor of integers or ksubset.Cardinality, optional
        As in `ksubset.rsample`; it may be left to the call.
    evaluate : {"mode", "marginals"}
        The output in evaluation, after ``eval()``.
    estimator : callable, optional
        What draws in training, by default `ksubset.rsample`: a function ``(logits, k, *, rng, sample_shape)``, such as
        any of ``ksubset.estimators`` that returns samples. Bind its other parameters by ``functools.partial``, and
        assign a new one to change a temperature.
    sample_shape : tuple of int
        Shape of the draws from each row in training.
    max_k, validate
        As in `ksubset.rsample`.

    Raises
    ------
    TypeError, ValueError
        If ``evaluate`` or ``estimator`` is of the wrong kind. A call raises what `ksubset.rsample` does.

    Examples
    --------
    >>> import torch
    >>> from ksubset.backends.torch import SubsetSampler
    >>> layer = SubsetSampler(2).eval()
    >>> layer(torch.tensor([2.0, 1.0, 0.0, -1.0]))
    tensor([1., 1., 0., 0.])

    A relaxed sample, whose temperature falls from step to step:

    >>> from functools import partial
    >>> from ksubset import estimators
    >>> layer = SubsetSampler(2, estimator=partial(estimators.softsub, t=1.0))
    >>> for step in range(3):
    ...     layer.estimator = partial(estimators.softsub, t=0.9**step)
    ...     z = layer(torch.zeros(5, 4))
    """

    __module__ = "ksubset.backends.torch"

    def __init__(
        self,
        k: int | Tensor | Cardinality | None = None,
        evaluate: str = "mode",
        *,
        estimator: Estimator | None = None,
        sample_shape: tuple[int, ...] = (),
        max_k: int | None = None,
        validate: bool | None = None,
    ) -> None:
        super().__init__()
        self._set_options(k, evaluate, estimator, sample_shape, max_k, validate)

    def forward(
        self,
        logits: Tensor,
        k: int | Tensor | Cardinality | None = None,
        *,
        sample_shape: tuple[int, ...] | None = None,
        rng: object = None,
    ) -> Tensor:
        """Subsets, sample_shape + (..., n), or in evaluation the mode or the marginals, (..., n).

        ``k`` and ``sample_shape`` take the place of the layer's own. ``rng`` is by default torch's global generator.
        """
        result: Tensor = self._draw(logits, k, sample_shape, rng) if self.training else self._settle(logits, k)
        return result

    def extra_repr(self) -> str:
        return self._described()


class SubsetGate(torch.nn.Module):
    """A gate that lets k of n features through, and learns which.

    The output is the input times a subset. In training the subset is drawn, and the gradient that it carries moves the
    logits; in evaluation it is the likeliest subset.

    Parameters
    ----------
    n : int
        The number of features, the last axis of the input.
    k : int, Tensor of integers or ksubset.Cardinality
        The number of features that pass.
    evaluate : {"mode", "marginals"}
        What the input is multiplied by in evaluation, after ``eval()``.
    batch_shape : tuple of int
        More than one gate: an input has shape (...) + batch_shape + (n,).
    per_row : bool
        Whether each row of the input gets a subset of its own in training. That is the default because a step then
        averages the gradient over one subset for each row; with ``False`` one subset serves the whole input.
    estimator, max_k, validate
        As in `SubsetSampler`.
    device, dtype
        Of the logits.

    Attributes
    ----------
    logits : Parameter, shape batch_shape + (n,)
        All 0 at the start: every subset is as likely as any other.
    sampler : SubsetSampler
        What draws; its attributes may be changed.

    Raises
    ------
    TypeError, ValueError
        As in `SubsetSampler`; a call also if the shape of the input does not end in the shape of the logits.

    Examples
    --------
    >>> import torch
    >>> from ksubset.backends.torch import SubsetGate
    >>> gate = SubsetGate(4, 2)
    >>> (gate(torch.ones(3, 4)) != 0).sum(-1)
    tensor([2, 2, 2])
    >>> gate.load_state_dict({"logits": torch.tensor([0.0, 2.0, 0.0, 2.0])})
    <All keys matched successfully>
    >>> gate.eval()(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([0., 2., 0., 4.])
    >>> gate.chosen.nonzero()[:, 0]
    tensor([1, 3])
    """

    __module__ = "ksubset.backends.torch"

    def __init__(
        self,
        n: int,
        k: int | Tensor | Cardinality,
        evaluate: str = "mode",
        *,
        batch_shape: tuple[int, ...] = (),
        per_row: bool = True,
        estimator: Estimator | None = None,
        max_k: int | None = None,
        validate: bool | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size(n, k)
        self.per_row = per_row
        self.sampler = SubsetSampler(k, evaluate, estimator=estimator, max_k=max_k, validate=validate)
        self.logits = torch.nn.Parameter(torch.empty((*batch_shape, n), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the logits to 0."""
        torch.nn.init.zeros_(self.logits)

    def forward(self, x: Tensor, *, rng: object = None) -> Tensor:
        """``x`` times a subset, of the shape of ``x``."""
        rows = rows_of(x, self.logits, self.per_row)
        z: Tensor = self.sampler(self.logits, sample_shape=rows, rng=rng)
        return x * z

    @property
    def chosen(self) -> Tensor:
        """The likeliest subset as a mask, bool in the shape of the logits; ``nonzero`` turns it into indices."""
        result: Tensor = self.sampler._settle(self.logits, evaluate="mode") == 1
        return result

    @property
    def probabilities(self) -> Tensor:
        """The probability of each feature to pass, in the shape of the logits, with a gradient."""
        result: Tensor = self.sampler._settle(self.logits, evaluate="marginals")
        return result

    def extra_repr(self) -> str:
        *batch, n = self.logits.shape
        return f"n={n}, batch_shape={tuple(batch)}, per_row={self.per_row}"
