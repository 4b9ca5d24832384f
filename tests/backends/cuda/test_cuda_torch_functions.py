"""The public functions on CUDA tensors, without a GPU.

The adapter takes CPU tensors for CUDA tensors, and the emulator runs what is launched: so everything from the public
function to the kernel's arguments is the code that a GPU would see.
"""

from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.cases import CALLS, JACOBIAN, LOGITS, OTHER, RNG, SAMPLE, SOLVE, K, N, V
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION
from cuda_on_cpu.philox import subsets

import ksubset
from ksubset._api.show_config import NAMES
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cpu import dispatch
from ksubset.backends._cuda import geometry, launchers

torch = pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")
pytestmark = [NEEDED, OWN_SESSION]


@pytest.fixture
def launched(monkeypatch):
    from cuda_on_cpu import torch_launch

    return torch_launch.as_cuda(monkeypatch)


def tensor(x: Any, *, grad: bool = False) -> Any:
    return torch.from_numpy(np.array(x)).requires_grad_(grad)


def same(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("k", [K, np.array([[0], [7]])], ids=["k", "k by row"])
@pytest.mark.parametrize("name", CALLS)
def test_values(launched, name, k):
    function, (arrays, kernels) = getattr(ksubset, name), CALLS[name]
    count = k if isinstance(k, int) else tensor(k)
    actual = function(tensor(LOGITS), count, *map(tensor, arrays))
    assert launched == kernels
    same(actual, function(LOGITS, k, *arrays))


@pytest.mark.parametrize("k", [K, np.array([[0], [7]])], ids=["k", "k by row"])
@pytest.mark.parametrize("other", [OTHER, OTHER[0, 0], np.stack([OTHER] * 2)], ids=["alike", "one row", "more rows"])
def test_both_arguments_of_a_divergence_go_through_the_kernel(launched, k, other):
    count = k if isinstance(k, int) else tensor(k)
    actual = ksubset.kl_divergence(tensor(LOGITS), tensor(other), count)
    assert launched == [SOLVE, SOLVE]
    same(actual, ksubset.kl_divergence(LOGITS, other, k))


def test_memory_with_the_negative_bit_is_left_to_the_core(launched):
    """It holds the opposite numbers."""
    given = torch.complex(tensor(V), -tensor(LOGITS)).conj().imag
    assert given.is_neg()
    same(ksubset.marginals(given, K), ksubset.marginals(LOGITS, K))
    assert launched == []


def test_half_precision_is_computed_in_single(launched):
    actual = ksubset.marginals(tensor(LOGITS).to(torch.bfloat16), K)
    assert launched == [SOLVE]
    assert actual.dtype == torch.bfloat16


def tilted(logits: np.ndarray, k: np.ndarray) -> np.ndarray:
    """t = θ + λ by the kernel."""
    return ksubset.backends.torch.ADAPTER.moments(FixedSize(tensor(k), N // 2), tensor(logits)).tilted.numpy()


@pytest.mark.parametrize("draw", [ksubset.sample, ksubset.rsample], ids=["sample", "rsample"])
def test_draws_are_those_of_the_kernels_own_generator(launched, draw):
    k = np.array([[3], [8]])
    drawn = draw(tensor(LOGITS), tensor(k), rng=torch.Generator().manual_seed(5), sample_shape=(2, 4))
    assert launched == [SAMPLE]
    seed = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(5)))
    rows = LOGITS.reshape(-1, N), np.broadcast_to(k, (2, 3)).reshape(-1)
    same(drawn, subsets(seed, 8, tilted(*rows), rows[1]).reshape(2, 4, 2, 3, N))


def test_draws_follow_their_generator(launched):
    def draw(rng: object) -> Any:
        return ksubset.sample(tensor(LOGITS), K, rng=rng, sample_shape=(20,)).numpy()

    torch.manual_seed(1)
    first, second = draw(None), draw(None)
    torch.manual_seed(1)
    np.testing.assert_array_equal(draw(None), first)
    np.testing.assert_array_equal(draw(7), draw(torch.Generator().manual_seed(7)))
    assert (first != second).any()
    assert launched == [SAMPLE] * 5
    with pytest.raises(TypeError, match=r"rng must be a torch\.Generator"):
        draw("seed")


def test_backward_of_a_sample(launched):
    x = tensor(LOGITS, grad=True)
    g = tensor(RNG.normal(size=(5, 2, 3, N)))
    (ksubset.rsample(x, K, sample_shape=(5,)) * g).sum().backward()
    assert launched == [SAMPLE, JACOBIAN]
    same(x.grad, ksubset.marginals_jvp(LOGITS, K, g.sum(0).numpy()))
    assert not ksubset.sample(x, K).requires_grad


def test_backward_of_values(launched):
    x, y = tensor(LOGITS, grad=True), tensor(OTHER, grad=True)
    (ksubset.kl_divergence(x, y, K).sum() + ksubset.log_normalizer(x, K).sum()).backward()
    assert launched.count(JACOBIAN) == 1
    mean = ksubset.marginals(LOGITS, K)
    same(x.grad, ksubset.marginals_jvp(LOGITS, K, LOGITS - OTHER) + mean)
    same(y.grad, ksubset.marginals(OTHER, K) - mean)


def test_an_object_solves_once(launched):
    d = ksubset.KSubset(tensor(LOGITS), K)
    same(d.mean, ksubset.marginals(LOGITS, K))
    same(d.entropy(), ksubset.entropy(LOGITS, K))
    same(d.log_normalizer(), ksubset.log_normalizer(LOGITS, K))
    assert launched == [SOLVE]
    same(d.kl_divergence(ksubset.KSubset(tensor(OTHER), K)), ksubset.kl_divergence(LOGITS, OTHER, K))
    assert launched == [SOLVE, SOLVE]


def test_the_inverse_map_launches_a_kernel_at_every_step(launched):
    mu = tensor(ksubset.marginals(LOGITS[0], K), grad=True)
    theta = ksubset.logits_from_marginals(mu, K)
    assert set(launched) == {SOLVE}
    launched.clear()
    same(theta, ksubset.logits_from_marginals(mu.detach().numpy(), K))
    (theta * tensor(V[0])).sum().backward()
    assert launched[0] == SOLVE
    assert set(launched[1:]) == {JACOBIAN}
    image = ksubset.marginals_jvp(LOGITS[0], K, mu.grad.numpy())
    same(tensor(image), V[0] - V[0].mean(axis=-1, keepdims=True))


def test_a_training_step_frees_its_memory(launched):
    import gc
    import weakref

    gc.disable()
    try:
        z = ksubset.rsample(tensor(LOGITS, grad=True), K)
        node = weakref.ref(z.grad_fn)
        del z
        assert node() is None
    finally:
        gc.enable()


def test_compiled_code_launches_the_kernels(launched):
    g = tensor(V)

    def loss(x: Any) -> Any:
        return (ksubset.rsample(x, K) * g).sum() + ksubset.entropy(x, K).sum()

    x = tensor(LOGITS, grad=True)
    torch.compile(loss, fullgraph=True, backend="aot_eager")(x).backward()
    assert sorted(launched) == sorted([SAMPLE, SOLVE, JACOBIAN, JACOBIAN])
    same(x.grad, ksubset.marginals_jvp(LOGITS, K, V) - ksubset.marginals_jvp(LOGITS, K, LOGITS))


def test_a_compiled_step_draws_by_the_kernel_whatever_the_number_of_rows(launched):
    def step(x: Any) -> Any:
        return ksubset.rsample(x, K, sample_shape=(2,))

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (3, 5, 8):
        x = torch.randn(rows, N, dtype=torch.float64, requires_grad=True)
        g = torch.randn(2, rows, N, dtype=torch.float64)
        torch.manual_seed(rows)
        (z := compiled(x)).backward(g)
        assert launched == [SAMPLE, JACOBIAN]
        launched.clear()
        torch.manual_seed(rows)
        same(z, ksubset.rsample(x, K, sample_shape=(2,)).detach().numpy())
        same(x.grad, ksubset.marginals_jvp(x.detach().numpy(), K, g.sum(0).numpy()))
        launched.clear()


def test_a_compiled_draw_without_a_launcher_is_by_uniforms(launched, monkeypatch):
    from ksubset.backends.torch import cuda

    monkeypatch.setattr(cuda, "launcher", lambda index: launchers.absent("cuda13"))
    z = torch.compile(lambda x: ksubset.rsample(x, K), fullgraph=True, backend="aot_eager")(tensor(LOGITS))
    assert (z.sum(-1) == K).all()
    assert launched == []


def test_a_step_goes_back_from_the_tilt_of_its_draw(launched, monkeypatch):
    """λ is found once: the backward pass, of more draws and of a row of its own k too, gets it."""
    from ksubset.backends.torch import cuda

    given: list[Any] = []
    run = cuda._run
    monkeypatch.setattr(
        cuda, "_run", lambda launch, arguments, like: given.append(arguments) or run(launch, arguments, like)
    )
    x, k = tensor(LOGITS, grad=True), tensor(np.array([[3], [8]]))
    g = tensor(RNG.normal(size=(5, 2, 3, N)))
    (ksubset.rsample(x, k, sample_shape=(5,)) * g).sum().backward()
    assert launched == [SAMPLE, JACOBIAN]
    drawn, product = given
    assert product[10] is drawn[-2]
    assert not product[10].isnan().any()
    same(x.grad, ksubset.marginals_jvp(LOGITS, np.array([[3], [8]]), g.sum(0).numpy()))


def test_torch_func(launched):
    x = tensor(LOGITS)
    actual = torch.func.vmap(torch.func.grad(lambda row: ksubset.entropy(row, K).sum()))(x)
    assert launched
    same(actual, -ksubset.marginals_jvp(LOGITS, K, LOGITS))
    v = tensor(V)
    same(torch.func.jvp(lambda x: ksubset.marginals(x, K), (x,), (v,))[1], ksubset.marginals_jvp(LOGITS, K, V))


def test_tensors_without_memory_of_their_own_take_the_core(launched):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Recording(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return function(*args, **(kwargs or {}))

    with Recording():
        same(ksubset.entropy(tensor(LOGITS), K), ksubset.entropy(LOGITS, K))
        assert isinstance(ksubset.backends.torch.ADAPTER.path(FixedSize(K, K), "marginals", tensor(LOGITS)), str)
    assert launched == []
    same(torch.func.vmap(lambda x: ksubset.KSubset(x, K).mean)(tensor(LOGITS)), ksubset.marginals(LOGITS, K))
    drawn = torch.func.vmap(lambda x: ksubset.rsample(x, K), randomness="different")(tensor(LOGITS))
    assert (drawn.sum(-1) == K).all()


def test_rows_that_no_block_suits_go_to_the_core(launched, monkeypatch):
    monkeypatch.setattr(geometry, "MOST_ITEMS", N - 1)
    same(ksubset.entropy(tensor(LOGITS), K), ksubset.entropy(LOGITS, K))
    same(ksubset.KSubset(tensor(LOGITS), K).mean, ksubset.marginals(LOGITS, K))
    same(ksubset.marginals_jvp(tensor(LOGITS), K, tensor(V)), ksubset.marginals_jvp(LOGITS, K, V))
    same(ksubset.kl_divergence(tensor(LOGITS), tensor(OTHER), K), ksubset.kl_divergence(LOGITS, OTHER, K))
    assert (ksubset.sample(tensor(LOGITS), K).sum(-1) == K).all()
    assert launched == []


def test_without_a_launcher_the_core_runs(launched, monkeypatch, capsys):
    from ksubset.backends.torch import cuda

    monkeypatch.setattr(cuda, "launcher", lambda index: launchers.absent("cuda13"))
    same(ksubset.entropy(tensor(LOGITS), K), ksubset.entropy(LOGITS, K))
    assert (ksubset.sample(tensor(LOGITS), K).sum(-1) == K).all()
    assert launched == []
    ksubset.show_config(tensor(LOGITS), K)
    assert (
        "marginals: the core: no package that launches kernels is installed; the extra cuda13"
        in capsys.readouterr().out
    )


def test_show_config_says_which_kernels(launched, capsys):
    ksubset.show_config(tensor(LOGITS), K)
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines() if ": " in line)
    for name in (NAMES.get(function, function) for function in dispatch.FUNCTIONS if function != "mode"):
        assert lines[name].startswith("the CUDA kernels: 4 threads to a row, blocks of 64 threads"), name
        assert lines[name].endswith(", launched by the emulator"), name
    assert lines["mode"] == "the core: a sort is all it takes"
    assert lines["count_log_pmf"] == "the core: its recursion has no CUDA kernel"
    assert lines["everything else"] == "the core: there is no kernel for it"
    ksubset.show_config(torch.zeros(1, 300_000), 3)
    assert "marginals: the CUDA kernels: 4 blocks to a row, blocks of 512 threads" in capsys.readouterr().out
    ksubset.show_config(torch.zeros(1, 1).expand(1, 17_000_000), 3)
    assert "marginals: the core: blocks take 1 to 16777216 items" in capsys.readouterr().out
