"""What `test_scale_jax` runs on eight simulated devices: one long row spread over them, against the same on one."""

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from scale_devices import collectives

import ksubset
from ksubset._engine import summation


def functions(k: int) -> dict[str, Callable[[Any, Any], Any]]:
    return {
        "marginals": lambda x, v: ksubset.marginals(x, k),
        "marginals_jvp": lambda x, v: ksubset.marginals_jvp(x, k, v),
        "entropy": lambda x, v: ksubset.entropy(x, k),
        "gradient of marginals": lambda x, v: jax.grad(lambda x: (v * ksubset.marginals(x, k)).sum())(x),
        "gradient of entropy": lambda x, v: jax.grad(lambda x: ksubset.entropy(x, k))(x),
    }


def gathered(k: int) -> dict[str, Callable[[Any, Any], Any]]:
    """What JAX may bring together."""
    return {
        "vmap": lambda x, v: jax.vmap(lambda x: ksubset.marginals(x, k))(x[None])[0],
        "second derivative": lambda x, v: jax.grad(lambda x: (ksubset.marginals_jvp(x, k, v) * v).sum())(x),
    }


def sent(program: Any) -> int:
    """The most numbers that one collective of a compiled program has to do with."""
    return max((size for _, size in collectives(program.as_text())), default=0)


def check(n: int, k: int, mesh: Any) -> None:
    """What is sent does not grow with n, and answers lie where the logits do."""
    summation.SPREAD_FROM = n
    x, v = arrays(n)
    place = NamedSharding(mesh, P("items"))
    bounded, others = functions(k), gathered(k)
    for name, function in (bounded | others).items():
        program = jax.jit(function).lower(jax.device_put(x, place), jax.device_put(v, place)).compile()
        result = program(jax.device_put(x, place), jax.device_put(v, place))
        if name in bounded:
            assert 0 < sent(program) < n // 2, f"{name}: {sent(program)} of {n}"
            assert not result.ndim or "items" in result.sharding.spec, name
        summation.SPREAD_FROM, usual = 2 * n, summation.SPREAD_FROM
        jax.clear_caches()
        np.testing.assert_allclose(result, jax.jit(function)(x, v), rtol=2e-5, atol=2e-6, err_msg=name)
        summation.SPREAD_FROM = usual
        jax.clear_caches()


def arrays(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=n), jnp.float32) for _ in range(2))


def main(kind: str, n: int, k: int) -> None:
    mesh = Mesh(np.array(jax.devices()), ("items",))
    if kind == "explicit":
        mesh = jax.make_mesh((8,), ("items",), axis_types=(jax.sharding.AxisType.Explicit,))
    check(n, k, mesh)
    print("agrees")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
