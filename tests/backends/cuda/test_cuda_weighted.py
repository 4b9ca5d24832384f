"""Subsets of weighted sizes by the CUDA kernels: against enumeration, and what torch's public functions launch."""

from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.cases import JACOBIAN, LOGITS, POTENTIAL, RNG, SAMPLE, SOLVE, WEIGHTED, N, V
from cuda_on_cpu.emulator import NEEDED, OWN_SESSION, Emulator
from cuda_on_cpu.philox import counts, subsets
from potentials import rows
from significance import check_frequencies

import ksubset
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cuda import calls, evaluation, geometry
from ksubset.backends.array_api import ADAPTER

pytestmark = [NEEDED, OWN_SESSION]
ROWS = rows(N)
PARAMETERS = np.stack([np.append(row.logits, row.log_weights) for row in ROWS])
LAW, SEED = SizeWeighted(0, N), np.array([0x5DEECE66D1234567])
SIZE = np.maximum(1, [np.abs(row.parameters).max() for row in ROWS])
"""What rounding is relative to: the logits and log-weights whose sums decide between sizes."""


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


def value(emulator: Emulator, function: Any, dtype: str, *arrays: np.ndarray) -> np.ndarray:
    given = [x.astype(dtype) for x in (PARAMETERS, *arrays)]
    with np.errstate(all="ignore"):
        return evaluation.evaluate(emulator.runtime, function, LAW, *given, solution=None)


def close(found: np.ndarray, expected: Any, tolerance: float) -> None:
    expected = np.asarray(expected)
    bound = 5 * tolerance * SIZE.reshape(-1, *(1,) * (expected.ndim - 1)) * np.maximum(1, np.abs(expected))
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= bound).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 2e-15)])
def test_enumeration(emulator: Emulator, dtype: str, tolerance: float) -> None:
    mean = np.stack([row.mean for row in ROWS])
    close(value(emulator, functions.marginals, dtype), mean, tolerance)
    close(value(emulator, functions.unchosen, dtype), 1 - mean, tolerance)
    close(value(emulator, functions.entropy, dtype), [row.entropy for row in ROWS], 2 * tolerance)
    close(value(emulator, functions.log_prob_count, dtype), [row.independent for row in ROWS], 2 * tolerance)
    v = np.random.default_rng(4).normal(size=PARAMETERS.shape)
    exact = [row.covariance @ np.where(np.isinf(x), 0, y) for row, x, y in zip(ROWS, PARAMETERS, v, strict=True)]
    close(value(emulator, functions.marginals_jvp, dtype, v), exact, tolerance)
    assert {launch.kernel for launch in emulator.launches} == {SOLVE, JACOBIAN}


def test_rows_without_a_possible_size(emulator: Emulator) -> None:
    bad = PARAMETERS[:3].copy()
    bad[0, N:], bad[1, 0], bad[2, :N] = -np.inf, np.nan, np.inf
    bad[2, -1] = -np.inf
    with np.errstate(all="ignore"):
        found = evaluation.evaluate(emulator.runtime, functions.marginals, LAW, bad, solution=None)
        drawn, _ = evaluation.draw(emulator.runtime, LAW, np.append(bad, PARAMETERS[:1], axis=0), (3,), SEED)
    assert np.isnan(found[:, :N]).all()
    assert np.isnan(drawn[:, :3]).all()
    assert np.isin(drawn[:, 3], (0, 1)).all()


def test_draws_are_sizes_and_then_subsets(emulator: Emulator) -> None:
    with np.errstate(all="ignore"):
        drawn, tilts = evaluation.draw(emulator.runtime, LAW, PARAMETERS, (4,), SEED)
        chances = evaluation.weighted(emulator.runtime, LAW).probabilities(emulator.runtime.ops, PARAMETERS)
    k = counts(int(SEED[0]), 4, chances)
    wide = np.ascontiguousarray(np.broadcast_to(PARAMETERS[:, :N], drawn.shape))
    tilted = calls.moments(emulator.runtime, FixedSize(k, N), wide).tilted
    np.testing.assert_array_equal(drawn, subsets(int(SEED[0]), 4, tilted, k))
    assert tilts is None
    np.testing.assert_array_equal(drawn.sum(axis=-1), k)


def test_draws_follow_the_law(emulator: Emulator) -> None:
    row = ROWS[2]
    parameters = np.append(row.logits, row.log_weights)
    drawn, _ = evaluation.draw(emulator.runtime, LAW, parameters, (20_000,), SEED)
    powers = 2 ** np.arange(N)
    observed = np.bincount((drawn @ powers).astype(int), minlength=2**N)[(row.subsets @ powers).astype(int)]
    check_frequencies(observed, row.probabilities)


def test_many_sizes(emulator: Emulator) -> None:
    n = 40
    rows = np.random.default_rng(6).normal(size=(3, 2 * n + 1))
    found = evaluation.moments(emulator.runtime, SizeWeighted(0, n), rows)
    same(found.chosen, ADAPTER.moments(SizeWeighted(0, n), rows).chosen)
    assert [launch.kernel for launch in emulator.launches] == [SOLVE]
    planned = geometry.path(emulator.runtime.device(None), SizeWeighted(0, n), "marginals", rows)
    assert planned.reason.startswith("16 threads to a row for each of 41 sizes")


def same(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-11, atol=1e-12)


class TestTorch:
    """Its public functions on CUDA tensors, as in `test_cuda_torch_functions`."""

    torch = pytest.importorskip("torch", reason="a test of torch's adapter, which needs torch")

    @pytest.fixture
    def launched(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        from cuda_on_cpu import torch_launch

        return torch_launch.as_cuda(monkeypatch)

    def tensor(self, x: np.ndarray, *, grad: bool = False) -> Any:
        return self.torch.from_numpy(x.copy()).requires_grad_(grad)

    @pytest.mark.parametrize("name", WEIGHTED)
    def test_values(self, launched: list[str], name: str) -> None:
        arrays, kernels = WEIGHTED[name]
        function = getattr(ksubset, name)
        actual = function(self.tensor(LOGITS), POTENTIAL, *map(self.tensor, arrays))
        assert launched == kernels
        same(actual, function(LOGITS, POTENTIAL, *arrays))

    def test_gradients(self, launched: list[str]) -> None:
        x, g = self.tensor(LOGITS, grad=True), RNG.normal(size=(5, 2, 3, N))
        (ksubset.rsample(x, POTENTIAL, sample_shape=(5,)) * self.tensor(g)).sum().backward()
        assert launched == [SOLVE, SAMPLE, SOLVE, SOLVE, JACOBIAN]
        same(x.grad, ksubset.marginals_jvp(LOGITS, POTENTIAL, g.sum(0)))
        omega = RNG.normal(size=(2, 3, N + 1))
        weights = self.tensor(omega, grad=True)
        ksubset.log_normalizer(self.tensor(LOGITS), ksubset.Cardinality(weights)).sum().backward()
        mean = ADAPTER.evaluate(functions.marginals, LAW, np.concatenate([LOGITS, omega], axis=-1), solution=None)
        same(weights.grad, mean[..., N:])

    @pytest.mark.parametrize("draw", [ksubset.sample, ksubset.rsample], ids=["sample", "rsample"])
    def test_compiled_programs(self, launched: list[str], draw: Any) -> None:
        def step(x: Any) -> tuple[Any, Any]:
            return draw(x, POTENTIAL), ksubset.marginals(x, POTENTIAL)

        compiled = self.torch.compile(step, fullgraph=True, backend="aot_eager")
        z, mean = compiled(self.tensor(LOGITS))
        assert sorted({*launched}) == [SAMPLE, SOLVE]
        assert ((z.sum(-1) >= 2) & (z.sum(-1) <= 6)).all()
        same(mean, ksubset.marginals(LOGITS, POTENTIAL))

    def test_an_object_solves_once(self, launched: list[str]) -> None:
        d = ksubset.KSubset(self.tensor(LOGITS), POTENTIAL)
        same(d.mean, ksubset.marginals(LOGITS, POTENTIAL))
        same(d.entropy(), ksubset.entropy(LOGITS, POTENTIAL))
        assert launched == [SOLVE]

    def test_show_config(self, launched: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        ksubset.show_config(self.tensor(V), POTENTIAL)
        said = capsys.readouterr().out
        assert "marginals: the CUDA kernels: 4 threads to a row for each of 5 sizes, blocks of 64 threads" in said
        assert "mode: the core: a sort is all it takes" in said
