"""The autoencoder of the experiments: its objective, and trainings that were interrupted."""

from math import log
from pathlib import Path

import pytest
from conftest import Target
from oracle import Enumeration

import ksubset

pytest.importorskip("torch", reason="the experiment trains with torch")
pytest.importorskip("tqdm", reason="the experiment shows its progress with tqdm")
import torch
import vae_training
from mnist import Images
from vae_model import BATCH, PIXELS, ROWS, Autoencoder, negative_elbo

pytestmark = pytest.mark.backends("torch")


def images() -> Images:
    pixels = torch.rand(3 * BATCH, PIXELS, generator=torch.Generator().manual_seed(0))
    return Images(pixels[: 2 * BATCH], pixels[2 * BATCH :])


def test_objective_is_reconstruction_plus_divergence(target: Target) -> None:
    torch.manual_seed(0)
    model, x = Autoencoder(), images().test[:3]
    for parameter in model.decoder[-1].parameters():
        torch.nn.init.zeros_(parameter)
    rows = model.logits(x).detach().double().flatten(0, 1).numpy()
    divergences = [log(len(row.subsets)) - row.entropy for row in (Enumeration(logits, 2) for logits in rows)]
    expected = PIXELS * log(2) + ROWS * sum(divergences) / len(divergences)
    found = negative_elbo(model, x, 2, lambda logits: ksubset.sample(logits, 2, rng=0))
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("method", ["simple", "imle-gumbel"])
def test_interrupted_training_ends_as_if_it_had_not_been(
    target: Target, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = vae_training.Run(method, 10, 1e-3, 10.0, 0, 3, False)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = vae_training.train(run, images(), tmp_path / "whole")
    epoch, calls = vae_training._epoch, iter(range(10))

    def interrupted(*arguments: object) -> dict[str, float]:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr(vae_training, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        vae_training.train(run, images(), tmp_path / "parts")
    parts = vae_training.train(run, images(), tmp_path / "parts")
    assert [step["exact"] for step in parts] == [step["exact"] for step in whole]
    assert vae_training.train(run, images(), tmp_path / "parts") == parts  # from the file
