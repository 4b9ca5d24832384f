"""DTensors on a mesh of one process, in the matrix; `test_scale_torch.py` has several."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

import ksubset
from ksubset import survey

torch = pytest.importorskip("torch", reason="a test of torch's adapter")


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    from torch import distributed

    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("this torch was built without gloo")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def spread(mesh: Any, x: Any, axis: int | None = 0) -> Any:
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    return distribute_tensor(x, mesh, [Replicate() if axis is None else Shard(axis)])


@pytest.fixture
def logits() -> Any:
    return torch.tensor([[1.0, 0.3, -0.5, 0.0], [0.0, 0.0, 2.0, 1.0], [0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)


def test_values_and_gradients(mesh: Any, logits: Any) -> None:
    here, k = spread(mesh, logits).requires_grad_(), torch.tensor([1, 2, 3])
    mu = ksubset.marginals(here, spread(mesh, k))
    torch.testing.assert_close(mu.to_local(), ksubset.marginals(logits, k))
    mu.square().sum().backward()
    assert here.grad.placements == mu.placements == here.placements
    torch.testing.assert_close(here.grad.to_local(), ksubset.marginals_jvp(logits, k, 2 * mu.to_local().detach()))


def test_one_vector_for_all_rows(mesh: Any, logits: Any) -> None:
    v = spread(mesh, logits[1], None).requires_grad_()
    product = ksubset.marginals_jvp(spread(mesh, logits), 2, v)
    torch.testing.assert_close(product.to_local(), ksubset.marginals_jvp(logits, 2, logits[1]))
    product.sum().backward()
    assert v.grad.placements[0].is_partial()


def test_functions_with_work_of_their_own(mesh: Any, logits: Any) -> None:
    here, k = spread(mesh, logits), torch.tensor([1, 2, 3])
    u, mu = torch.full((2, 3, 3), 0.3, dtype=torch.float64), ksubset.marginals(logits, 2)
    most, log_weights = ksubset.at_most(spread(mesh, k)), torch.zeros(5, dtype=torch.float64)
    pairs = [
        (ksubset.sample_from_uniforms(here, 2, spread(mesh, u, 1)), ksubset.sample_from_uniforms(logits, 2, u)),
        (ksubset.logits_from_marginals(spread(mesh, mu), 2), ksubset.logits_from_marginals(mu, 2)),
        (ksubset.count_log_pmf(here), ksubset.count_log_pmf(logits)),
        (ksubset.count_log_cdf(here), ksubset.count_log_cdf(logits)),
        (ksubset.count_quantile(here, 0.3), ksubset.count_quantile(logits, 0.3)),
        (ksubset.covariance(here, 2), ksubset.covariance(logits, 2)),
        (ksubset.entropy(here, most), ksubset.entropy(logits, ksubset.at_most(k))),
        (
            ksubset.log_normalizer(here, ksubset.Cardinality(spread(mesh, log_weights, None))),
            ksubset.log_normalizer(logits, ksubset.Cardinality(log_weights)),
        ),
        (ksubset.KSubset(here, spread(mesh, k)).variance, ksubset.KSubset(logits, k).variance),
        (ksubset.KSubset(here, 2).covariance(), ksubset.covariance(logits, 2)),
    ]
    for found, expected in pairs:
        assert found.shape == expected.shape
        torch.testing.assert_close(found.to_local(), expected)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("function", [ksubset.marginals, ksubset.entropy])
def test_a_batch_of_two_axes(mesh: Any, logits: Any, axis: int, function: Any) -> None:
    rows = torch.stack([logits, -logits])
    found, expected = function(spread(mesh, rows, axis), 2), function(rows, 2)
    assert found.placements == spread(mesh, rows, axis).placements
    assert found.shape == expected.shape
    torch.testing.assert_close(found.to_local(), expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_draws_from_a_batch_of_two_axes(mesh: Any, logits: Any, axis: int) -> None:
    x = torch.stack([logits, logits.flip(0)])
    here, k = spread(mesh, x, axis).requires_grad_(), torch.tensor([[1, 2, 3], [3, 2, 1]])
    z, mu = ksubset.sample_with_marginals(here, 2, sample_shape=(5,))
    assert z.shape == (5, 2, 3, 4)
    assert z.placements[0].dim == axis + 1
    assert (z.to_local().sum(-1) == 2).all()
    (z.to_local().sum(0) + mu.to_local()).square().sum().backward()
    assert here.grad.placements == here.placements
    assert ksubset.sample(here, 2).shape == (2, 3, 4)
    u = spread(mesh, torch.rand(5, 2, 3, 3, dtype=torch.float64), axis + 1)
    assert ksubset.sample_from_uniforms(here, 2, u).placements[0].dim == axis + 1
    index = ksubset.sample_indices(here, spread(mesh, k, axis), max_k=3, sample_shape=(5,))
    assert index.placements[0].dim == axis + 1
    assert ((index.to_local() >= 0).sum(-1) == k).all()
    with pytest.raises(ValueError, match=r"^max_k must be given"):
        ksubset.mode_indices(here, spread(mesh, k, axis))
    mode = ksubset.mode_indices(here, 2)
    assert mode.placements[0].dim == axis
    score = ksubset.log_prob_indices(here, 2, mode)
    torch.testing.assert_close(score.to_local(), ksubset.log_prob(x, 2, ksubset.mode(x, 2)))


@pytest.mark.parametrize("batch", [(), (3,), (3, 1)])
def test_designs(mesh: Any, batch: tuple[int, ...]) -> None:
    sizes = torch.tensor([[3, 2, 1, 4], [1, 1, 1, 5], [2, 2, 2, 2]])[: 3 if batch else 1].reshape(*batch, 4)
    here = survey.inclusion_probabilities(spread(mesh, sizes, 0 if batch else None), 2)
    probabilities = survey.inclusion_probabilities(sizes, 2)
    torch.testing.assert_close(here.to_local(), probabilities)
    found, expected = survey.design(here), survey.design(probabilities)
    pairs = survey.joint_inclusion_probabilities(found.logits, found.k)
    torch.testing.assert_close(found.mean.to_local(), expected.mean)
    torch.testing.assert_close(
        pairs.to_local(), survey.joint_inclusion_probabilities(expected.logits, expected.k), rtol=1e-4, atol=1e-6
    )


def test_samples(mesh: Any, logits: Any) -> None:
    here = spread(mesh, logits).requires_grad_()
    source = torch.Generator().manual_seed(0)
    first, second = (ksubset.rsample(here, 2, rng=source, sample_shape=(50,)) for _ in range(2))
    again = ksubset.rsample(here, 2, rng=0, sample_shape=(50,))
    assert (first.to_local().sum(-1) == 2).all()
    assert torch.equal(first.to_local(), again.to_local())
    assert not torch.equal(first.to_local(), second.to_local())
    first.sum().backward()
    assert here.grad.to_local().abs().max() < 1e-12


def test_errors(mesh: Any, logits: Any) -> None:
    from torch import distributed
    from torch.distributed.tensor import DTensor, Partial

    here, other = spread(mesh, logits), distributed.init_device_mesh("cpu", (1, 1))
    partial = DTensor.from_local(logits, mesh, [Partial()])
    on_other = DTensor.from_local(logits, other)
    cases = [
        (ValueError, "logits must not be split along the items", lambda: ksubset.marginals(spread(mesh, logits, 1), 2)),
        (ValueError, "logits must be placed by Shard and Replicate", lambda: ksubset.marginals(partial, 2)),
        (TypeError, "v must be a DTensor, as logits is", lambda: ksubset.marginals_jvp(here, 2, logits)),
        (TypeError, "q must be a number where", lambda: ksubset.count_quantile(here, logits[:, 0])),
        (TypeError, "v must be an array of the same", lambda: ksubset.marginals_jvp(logits, 2, here)),
        (ValueError, "v must be on the device mesh", lambda: ksubset.marginals_jvp(here, 2, on_other)),
        (ValueError, "v must have size 3", lambda: ksubset.marginals_jvp(here, 2, spread(mesh, logits[:2]))),
        (ValueError, "v must have the plac", lambda: ksubset.marginals_jvp(here, 2, spread(mesh, logits, None))),
    ]
    for kind, message, call in cases:
        with pytest.raises(kind, match=re.escape(message)):
            call()
