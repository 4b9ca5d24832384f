"""What `test_scale_jax` runs on eight simulated devices: one long row spread over them, against the same on one."""

import re
import sys
from collections.abc import Callable
from math import prod
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import ksubset
from ksubset import _summation

COLLECTIVE = re.compile(r"\[([\d,]*)\]\S* (?:all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)")


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
        "second derivative": lambda x, v: jax.grad(lambda x: ksubset.marginals_jvp(x, k, v)[0])(x),
    }


def sent(program: Any) -> int:
    """The most numbers that one collective of a compiled program has to do with."""
    found = [m[1] for m in map(COLLECTIVE.search, program.as_text().splitlines()) if m]
    return max((prod(int(size) for size in shape.split(",") if size) for shape in found), default=0)


def check(n: int, k: int, mesh: Any) -> None:
    """What is sent does not grow with n, and answers lie where the logits do."""
    _summation.SPREAD_FROM = n
    x, v = arrays(n)
    place = NamedSharding(mesh, P("items"))
    bounded, others = functions(k), gathered(k)
    for name, function in (bounded | others).items():
        program = jax.jit(function).lower(jax.device_put(x, place), jax.device_put(v, place)).compile()
        result = program(jax.device_put(x, place), jax.device_put(v, place))
        if name in bounded:
            assert 0 < sent(program) < n // 2, f"{name}: {sent(program)} of {n}"
            assert not result.ndim or "items" in result.sharding.spec, name
        _summation.SPREAD_FROM, usual = 2 * n, _summation.SPREAD_FROM
        jax.clear_caches()
        np.testing.assert_allclose(result, jax.jit(function)(x, v), rtol=2e-5, atol=2e-6, err_msg=name)
        _summation.SPREAD_FROM = usual


def arrays(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=n), jnp.float32) for _ in range(2))


def measure(n: int, k: int, mesh: Any) -> None:
    """Seconds and what is sent, spread and on one device."""
    x, v = arrays(n)
    for place in (NamedSharding(mesh, P("items")), jax.devices()[0]):
        a, b = jax.device_put(x, place), jax.device_put(v, place)
        for name in ("marginals", "marginals_jvp"):
            start = perf_counter()
            program = jax.jit(functions(k)[name]).lower(a, b).compile()
            compiled = perf_counter()
            y = jax.block_until_ready(program(a, b))
            end = perf_counter()
            print(name, len(y.sharding.device_set), compiled - start, end - compiled, sent(program), float(y.sum()))


def main(kind: str, n: int, k: int) -> None:
    mesh = Mesh(np.array(jax.devices()), ("items",))
    if kind == "explicit":
        mesh = jax.make_mesh((8,), ("items",), axis_types=(jax.sharding.AxisType.Explicit,))
    (measure if kind == "measure" else check)(n, k, mesh)
    print("agrees")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
