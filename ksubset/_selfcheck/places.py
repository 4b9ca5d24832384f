"""The frameworks that can be imported here and their devices, all seen in the same way.

Nothing is imported before it is looked for, and what cannot be imported, or has no working device, says why.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import ksubset
from ksubset._engine.ops import Array

Layer = Callable[[Array, int, Array, object], tuple[Array, Array]]
BOTH = ("float32", "float64")


@dataclass(frozen=True)
class Place:
    """A framework on a device.

    Attributes
    ----------
    framework, version, device
        Their names.
    dtypes
        The floating dtypes that it has.
    array
        ``array(numbers, dtype)``: an array there from nested lists.
    values
        The reverse of `array`.
    rng
        ``rng(seed)``: the framework's own source of randomness.
    layer
        ``layer(logits, k, g, rng)``: a sample, and the gradient in the logits if ``g`` is the gradient in the sample.
    """

    framework: str
    version: str
    device: str
    dtypes: tuple[str, ...]
    array: Callable[[Any, str], Array]
    values: Callable[[Array], Any]
    rng: Callable[[int], object]
    layer: Layer


@dataclass(frozen=True)
class Unusable:
    """A framework that is installed but cannot be used, or one of its devices."""

    framework: str
    device: str | None
    reason: str


def survey(framework: str) -> Iterator[Place | Unusable]:
    """Find the devices of a framework; each allocates, because importing proves nothing."""
    try:
        places = list(PLACES[framework](import_module(framework)))
    except Exception as error:  # each has its own way of saying that it is broken
        yield Unusable(framework, None, in_words(error))
        return
    if not places:
        yield Unusable(framework, None, "it has no device")
    for place in places:
        try:
            place.values(place.array([0.0], place.dtypes[0]))
        except Exception as error:
            yield Unusable(framework, place.device, in_words(error))
        else:
            yield place


def is_installed(module: str) -> bool:
    """Whether Python would find a module."""
    with suppress(ValueError, ModuleNotFoundError):  # put into sys.modules by hand; without the package that it is in
        return find_spec(module) is not None
    return False


def in_words(error: Exception) -> str:
    """The name of an error and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _without_autograd(logits: Array, k: int, g: Array, rng: object) -> tuple[Array, Array]:
    return ksubset.rsample(logits, k, rng=rng), ksubset.marginals_jvp(logits, k, g)


def _numpy(np: Any) -> Iterator[Place]:
    yield Place(
        "numpy", np.__version__, "cpu", BOTH, np.asarray, np.ndarray.tolist, np.random.default_rng, _without_autograd
    )


def _strict(xp: Any) -> Iterator[Place]:
    np = import_module("numpy")

    def array(numbers: Any, dtype: str) -> Array:
        return xp.asarray(numbers, dtype=getattr(xp, dtype))

    def values(x: Array) -> Any:
        return np.asarray(x).tolist()

    yield Place(
        "array_api_strict", xp.__version__, "cpu", BOTH, array, values, np.random.default_rng, _without_autograd
    )


def _cupy(cupy: Any) -> Iterator[Place]:
    def array(device: int, numbers: Any, dtype: str) -> Array:
        with cupy.cuda.Device(device):
            return cupy.asarray(numbers, dtype)

    def rng(device: int, seed: int) -> object:
        with cupy.cuda.Device(device):
            return cupy.random.default_rng(seed)

    def layer(device: int, *arguments: Any) -> tuple[Array, Array]:
        with cupy.cuda.Device(device):
            return _without_autograd(*arguments)

    for device in range(cupy.cuda.runtime.getDeviceCount()):
        on = partial(array, device), cupy.ndarray.tolist, partial(rng, device), partial(layer, device)
        yield Place("cupy", cupy.__version__, f"cuda:{device}", BOTH, *on)


def _torch(torch: Any) -> Iterator[Place]:
    def array(device: str, numbers: Any, dtype: str) -> Array:
        return torch.tensor(numbers, dtype=getattr(torch, dtype), device=device)

    def rng(device: str, seed: int) -> object:
        return torch.Generator(device).manual_seed(seed)

    def layer(logits: Array, k: int, g: Array, rng: object) -> tuple[Array, Array]:
        logits = logits.detach().requires_grad_()
        z = ksubset.rsample(logits, k, rng=rng)
        return z.detach(), torch.autograd.grad(z, logits, g)[0]

    apple = ["mps"] if torch.backends.mps.is_available() else []
    for device in ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *apple]:
        dtypes = BOTH if device != "mps" else BOTH[:1]
        on = partial(array, device), torch.Tensor.tolist, partial(rng, device)
        yield Place("torch", torch.__version__, device, dtypes, *on, layer)


def _jax(jax: Any) -> Iterator[Place]:
    def array(device: Any, numbers: Any, dtype: str) -> Array:
        return jax.device_put(jax.numpy.asarray(numbers, dtype), device)

    @partial(jax.jit, static_argnums=1)
    def layer(logits: Array, k: int, g: Array, rng: Array) -> tuple[Array, Array]:
        z, pull = jax.vjp(lambda x: ksubset.rsample(x, k, rng=rng), logits)
        return z, pull(g)[0]

    def values(x: Array) -> Any:
        return x.tolist()

    devices = list(jax.devices())
    with suppress(RuntimeError):  # JAX may be told to leave the CPU alone
        devices += jax.devices("cpu")
    dtypes = BOTH if jax.config.jax_enable_x64 else BOTH[:1]
    for device in dict.fromkeys(devices):
        name, make = f"{device.platform}:{device.id}", partial(array, device)
        yield Place("jax", jax.__version__, name, dtypes, make, values, jax.random.key, layer)


PLACES: dict[str, Callable[[Any], Iterator[Place]]] = {
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
    "array_api_strict": _strict,
}
"""From the module of each framework to its places."""
