"""Layers: from logits to subsets, and a gate with logits of its own."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

from ksubset._call.argument_checks import kind
from ksubset._call.cardinality import Cardinality
from ksubset.backends.layers import Choosing, Estimator, check_size, rows_of

Keys: TypeAlias = nnx.Rngs | nnx.RngStream | jax.Array


class SubsetSampler(Choosing, nnx.Module):
    """A layer that turns logits into subsets: draws in training, the mode or the marginals in evaluation.

    As ``nnx.Dropout``: ``train()`` and ``eval()`` of the model switch ``deterministic``, and keys come from a stream of
    ``nnx.Rngs``, given to the layer or to the call. Each argument but ``rngs`` is an attribute of the same name, to be
    changed at any time.

    Parameters
    ----------
    k : int, array of integers or ksubset.Cardinality, optional
        As in `ksubset.rsample`; it may be left to the call.
    evaluate : {"mode", "marginals"}
        The output if ``deterministic``.
    estimator : callable, optional
        What draws in training, by default `ksubset.rsample`: a function ``(logits, k, *, rng, sample_shape)``, such as
        any of ``ksubset.estimators`` that returns samples. Bind its other parameters by ``functools.partial``;
        ``model.set_attributes(estimator=...)`` changes a temperature, and compiles anew.
    sample_shape : tuple of int
        Shape of the draws from each row in training.
    max_k, validate
        As in `ksubset.rsample`.
    deterministic : bool
        Whether to evaluate rather than draw.
    rng_collection : str
        The stream of ``rngs`` that draws; if there is none of this name, the default one does.
    rngs : nnx.Rngs or nnx.RngStream, optional
        Source of keys, of which the layer keeps a fork; None leaves it to the call.

    Raises
    ------
    TypeError, ValueError
        If ``evaluate``, ``estimator`` or ``rngs`` is of the wrong kind. A call raises what `ksubset.rsample` does.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from ksubset.backends.flax import SubsetSampler
    >>> layer = SubsetSampler(2, rngs=nnx.Rngs(0))
    >>> layer(jnp.zeros(4)).sum()
    Array(2., dtype=float32)
    >>> layer.eval()
    >>> layer(jnp.asarray([2.0, 1.0, 0.0, -1.0]))
    Array([1., 1., 0., 0.], dtype=float32)
    """

    __module__ = "ksubset.backends.flax"

    def __init__(
        self,
        k: int | jax.Array | Cardinality | None = None,
        evaluate: str = "mode",
        *,
        estimator: Estimator | None = None,
        sample_shape: tuple[int, ...] = (),
        max_k: int | None = None,
        validate: bool | None = None,
        deterministic: bool = False,
        rng_collection: str = "subset",
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ) -> None:
        self._set_options(k, evaluate, estimator, sample_shape, max_k, validate)
        self.deterministic, self.rng_collection = deterministic, rng_collection
        self.rngs = nnx.data(None if rngs is None else _stream(rngs, rng_collection).fork())

    def __call__(
        self,
        logits: jax.Array,
        k: int | jax.Array | Cardinality | None = None,
        *,
        sample_shape: tuple[int, ...] | None = None,
        deterministic: bool | None = None,
        rngs: Keys | None = None,
    ) -> jax.Array:
        """Subsets, sample_shape + (..., n), or if ``deterministic`` the mode or the marginals, (..., n).

        All arguments but ``logits`` take the place of the layer's own; ``rngs`` may be a key.
        """
        if self.deterministic if deterministic is None else deterministic:
            result: jax.Array = self._settle(logits, k)
        else:
            result = self._draw(logits, k, sample_shape, self._key(rngs))
        return result

    def _key(self, rngs: Keys | None) -> jax.Array:
        rngs = self.rngs if rngs is None else rngs
        if rngs is None:
            raise ValueError(
                "rngs must be given to the layer or to the call, as nnx.Rngs(0), to draw subsets; got None for both: "
                "a model draws none after eval()"
            )
        key: jax.Array = rngs if isinstance(rngs, jax.Array) else _stream(rngs, self.rng_collection)()
        return key

    def set_view(self, deterministic: bool | None = None) -> None:
        """For ``nnx.view``.

        Args:
          deterministic: whether to evaluate rather than draw.
        """
        if deterministic is not None:
            self.deterministic = deterministic


def _stream(rngs: object, name: str) -> nnx.RngStream:
    stream: Any = rngs[name] if isinstance(rngs, nnx.Rngs) else rngs
    if not isinstance(stream, nnx.RngStream):
        raise TypeError(f"rngs must be nnx.Rngs or an nnx.RngStream; got {kind(rngs)}")
    return stream


class SubsetGate(nnx.Module):
    """A gate that lets k of n features through, and learns which.

    The output is the input times a subset. In training the subset is drawn, and the gradient that it carries moves the
    logits; in evaluation it is the likeliest subset.

    Parameters
    ----------
    n : int
        The number of features, the last axis of the input.
    k : int, array of integers or ksubset.Cardinality
        The number of features that pass.
    evaluate : {"mode", "marginals"}
        What the input is multiplied by if ``deterministic``.
    batch_shape : tuple of int
        More than one gate: an input has shape (...) + batch_shape + (n,).
    per_row : bool
        Whether each row of the input gets a subset of its own in training. That is the default because a step then
        averages the gradient over one subset for each row; with ``False`` one subset serves the whole input.
    param_dtype : dtype
        Of the logits.
    estimator, max_k, validate, deterministic, rng_collection, rngs
        As in `SubsetSampler`.

    Attributes
    ----------
    logits : nnx.Param, shape batch_shape + (n,)
        All 0 at the start: every subset is as likely as any other.
    sampler : SubsetSampler
        What draws; its attributes may be changed.

    Raises
    ------
    TypeError, ValueError
        As in `SubsetSampler`; a call also if the shape of the input does not end in the shape of the logits.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from ksubset.backends.flax import SubsetGate
    >>> gate = SubsetGate(4, 2, rngs=nnx.Rngs(0))
    >>> (gate(jnp.ones((3, 4))) != 0).sum(-1)
    Array([2, 2, 2], dtype=int32)
    >>> gate.logits[...] = jnp.asarray([0.0, 2.0, 0.0, 2.0])
    >>> gate.eval()
    >>> gate(jnp.asarray([1.0, 2.0, 3.0, 4.0]))
    Array([0., 2., 0., 4.], dtype=float32)
    >>> gate.chosen.nonzero()[0]
    Array([1, 3], dtype=int32)
    """

    __module__ = "ksubset.backends.flax"

    def __init__(
        self,
        n: int,
        k: int | jax.Array | Cardinality,
        evaluate: str = "mode",
        *,
        batch_shape: tuple[int, ...] = (),
        per_row: bool = True,
        param_dtype: Any = jnp.float32,
        estimator: Estimator | None = None,
        max_k: int | None = None,
        validate: bool | None = None,
        deterministic: bool = False,
        rng_collection: str = "subset",
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ) -> None:
        check_size(n, k)
        self.per_row = per_row
        self.sampler = SubsetSampler(
            k,
            evaluate,
            estimator=estimator,
            max_k=max_k,
            validate=validate,
            deterministic=deterministic,
            rng_collection=rng_collection,
            rngs=rngs,
        )
        self.logits = nnx.Param(jnp.zeros((*batch_shape, n), param_dtype))

    def __call__(self, x: jax.Array, *, deterministic: bool | None = None, rngs: Keys | None = None) -> jax.Array:
        """``x`` times a subset, of the shape of ``x``; the other arguments take the place of the gate's own."""
        logits = self.logits[...]
        rows = rows_of(x, logits, self.per_row)
        z = self.sampler(logits, sample_shape=rows, deterministic=deterministic, rngs=rngs)
        return x * jnp.broadcast_to(z, x.shape)  # jax_numpy_rank_promotion may forbid it unsaid

    @property
    def chosen(self) -> jax.Array:
        """The likeliest subset as a mask, bool in the shape of the logits; ``nonzero`` turns it into indices."""
        result: jax.Array = self.sampler._settle(self.logits[...], evaluate="mode") == 1
        return result

    @property
    def probabilities(self) -> jax.Array:
        """The probability of each feature to pass, in the shape of the logits, with a gradient."""
        result: jax.Array = self.sampler._settle(self.logits[...], evaluate="marginals")
        return result
