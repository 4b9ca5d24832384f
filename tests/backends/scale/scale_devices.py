"""What `test_scale_jax` runs on eight simulated devices: each function sharded, against the same on one device."""

import re
import sys
from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import ksubset
from ksubset.backends._cpu import dispatch

COLLECTIVE = re.compile(r"\b(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)[-a-z]*\(")
SHAPE = re.compile(r"\[([\d,]*)\]")
ROWS, N, SIZE = 24, 48, 20
rng = np.random.default_rng(0)
X, V = (jnp.asarray(rng.normal(size=(ROWS, N)), jnp.float32) for _ in range(2))
K = jnp.arange(ROWS, dtype=jnp.int32) % (N + 1)
KEY = jax.random.key(0)


def gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, v, k: jax.grad(lambda x: (v * function(x, v, k)).sum())(x)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "marginals": lambda x, v, k: ksubset.marginals(x, SIZE),
    "marginals, a k for each row": lambda x, v, k: ksubset.marginals(x, k),
    "marginals_jvp": lambda x, v, k: ksubset.marginals_jvp(x, k, v),
    "log_normalizer": lambda x, v, k: ksubset.log_normalizer(x, k),
    "entropy": lambda x, v, k: ksubset.entropy(x, SIZE),
    "kl_divergence": lambda x, v, k: ksubset.kl_divergence(x, v, SIZE),
    "mode, log_prob": lambda x, v, k: ksubset.log_prob(x, SIZE, ksubset.mode(x, SIZE)),
    "sample_from_uniforms": lambda x, v, k: ksubset.sample_from_uniforms(x, k, jax.nn.sigmoid(v[:, 1:]) - 0.5),
    "gradient of marginals": gradient(lambda x, v, k: ksubset.marginals(x, k)),
    "gradient of entropy": gradient(lambda x, v, k: ksubset.entropy(x, SIZE)[:, None]),
    "second derivative": gradient(lambda x, v, k: ksubset.marginals_jvp(x, SIZE, v)),
}
RANDOM: dict[str, Callable[..., Any]] = {
    "rsample": lambda x, v, k: ksubset.rsample(x, k, rng=KEY),
    "samples": lambda x, v, k: ksubset.sample(x, SIZE, rng=KEY, sample_shape=(3,)),
    "gradient of rsample": gradient(lambda x, v, k: ksubset.rsample(x, SIZE, rng=KEY) ** 2),
}


def collectives(text: str) -> list[tuple[str, int]]:
    """What the devices of a compiled program send: the kind, and how many numbers."""
    found = []
    for line in text.splitlines():
        if match := COLLECTIVE.search(line):
            shapes = SHAPE.findall(line[: match.start()])
            found.append((match[1], max(prod(int(size) for size in x.split(",") if size) for x in shapes)))
    return found


def compare(name: str, found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6, err_msg=name)


def batches(mesh: Mesh) -> None:
    """Sharded as the operands, without a collective, and with the kernels where there are some."""
    place = NamedSharding(mesh, P("rows"))
    sharded = [jax.device_put(x, place) for x in (X, V, K)]
    for name, function in (FUNCTIONS | RANDOM).items():
        program = jax.jit(function).lower(*sharded).compile()
        text = program.as_text()
        assert not collectives(text), f"{name}: {collectives(text)}"
        result = program(*sharded)
        assert "rows" in result.sharding.spec, name
        compare(name, result, function(X, V, K))
        if name in ("marginals", "marginals_jvp", "log_normalizer", "entropy", "gradient of rsample"):
            assert ("ksubset_" in "".join(re.findall('custom_call_target="(.*?)"', text))) == (
                not dispatch.obstacle()
            ), name


def windows(mesh: Mesh) -> None:
    """Rows of thousands of items, whose sums are made in several steps."""
    x = jnp.asarray(rng.normal(size=(8, 17_000)), jnp.float32)
    sharded = jax.device_put(x, NamedSharding(mesh, P("rows")))
    for function in (lambda x: ksubset.marginals(x, 1000), lambda x: ksubset.marginals_jvp(x, 1000, x)):
        program = jax.jit(function).lower(sharded).compile()
        assert not collectives(program.as_text())
        compare("windows", program(sharded), function(x))


def mapped(mesh: Mesh) -> None:
    """Inside `jax.shard_map`, whose arrays have types that say how they vary."""
    for name, function in FUNCTIONS.items():
        each = jax.shard_map(function, mesh=mesh, in_specs=(P("rows"),) * 3, out_specs=P("rows"))
        compare(name, jax.jit(each)(X, V, K), function(X, V, K))

    def draw(x: Any) -> Any:
        key = jax.random.fold_in(KEY, jax.lax.axis_index("rows"))
        return ksubset.rsample(x, SIZE, rng=key)

    z = np.asarray(jax.jit(jax.shard_map(draw, mesh=mesh, in_specs=P("rows"), out_specs=P("rows")))(jnp.zeros((64, N))))
    assert (z.sum(-1) == SIZE).all()
    assert len({part.tobytes() for part in np.split(z, 8)}) == 8
    parts = X.reshape(8, -1, N)
    compare("pmap", jax.pmap(lambda x: ksubset.marginals(x, SIZE))(parts), ksubset.marginals(parts, SIZE))


def main(kind: str) -> None:
    devices = np.array(jax.devices())
    if kind == "auto":
        batches(Mesh(devices, ("rows",)))
    elif kind == "explicit":
        batches(jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Explicit,)))
    elif kind == "windows":
        windows(Mesh(devices, ("rows",)))
    elif kind == "shard_map":
        mapped(Mesh(devices, ("rows",)))
    print("agrees")


if __name__ == "__main__":
    main(*sys.argv[1:])
