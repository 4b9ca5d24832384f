"""Keys of JAX, and the seeds and uniforms that are drawn from them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ksubset._call.argument_checks import kind, seed_of
from ksubset._engine.ops import Array


def key_of(rng: object) -> Array:
    if rng is None:
        raise TypeError(
            "rng must be a JAX key or an int; got None, and JAX has no global generator: rng=jax.random.key(0) is one"
        )
    seed = seed_of(rng, -(2**63), 2**63 - 1)
    key: Any = rng if seed is None else jax.random.key(seed)
    if not _is_key(key):
        raise TypeError(f"rng must be a JAX key or an int; got {kind(rng)}")
    if key.ndim != (key.dtype == jnp.uint32):
        raise ValueError(f"rng must be one JAX key; got a batch of them, {key.shape}")
    return key


def _is_key(x: object) -> bool:
    if not isinstance(x, jax.Array):
        return False
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key)) or (x.dtype == jnp.uint32 and x.ndim == 1)


def seed_words(key: Array) -> Array:
    """Two words for a key: its own, which cost nothing, since kernels scatter them; else random ones."""
    data: Array = jax.random.key_data(key)
    return data if data.shape == (2,) else jax.random.bits(key, (2,), jnp.uint32)


@partial(jax.jit, static_argnums=(1, 2))
def signed_uniforms(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """(s + l)/2³², s a signed 32-bit integer and l a fraction that refines it where floats near 0 can tell."""
    words = jax.random.bits(key, (2, *shape), jnp.uint32)
    whole = jax.lax.bitcast_convert_type(words[0], jnp.int32).astype(dtype)
    return (whole + words[1].astype(dtype) * 2.0**-32) * 2.0**-32
