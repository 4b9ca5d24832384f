"""One training of the autoencoder: resumable, and the same whether it was interrupted or not."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mnist import Images
from torch import Generator, Tensor
from tqdm import tqdm
from vae_model import BATCH, METHODS, Autoencoder, evaluate, negative_elbo

import ksubset

VALIDATION = 10_000
"""Training images held out where a parameter is chosen."""


class Run(NamedTuple):
    """The settings of one training."""

    method: str
    k: int
    rate: float
    value: float
    seed: int
    epochs: int
    search: bool

    @property
    def name(self) -> str:
        """Of its files."""
        stage = "search" if self.search else f"seed{self.seed}"
        return f"{self.method}-{self.k}-{self.rate:g}-{self.value:g}-{stage}-{self.epochs}"


class State:
    """Model, optimiser, random numbers and curve, as they are saved after every epoch."""

    def __init__(self, run: Run) -> None:
        torch.manual_seed(run.seed)
        self.model = Autoencoder()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=run.rate, fused=True)
        self.generator = Generator().manual_seed(run.seed)
        self.curve: list[dict[str, float]] = []

    def save(self, path: Path) -> None:
        """All of it or nothing: an interruption leaves the file before."""
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "curve": self.curve}
        torch.save(parts | {"generator": self.generator.get_state()}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Go on where `save` was."""
        parts = torch.load(path)
        self.model.load_state_dict(parts["model"])
        self.optimizer.load_state_dict(parts["optimizer"])
        self.generator.set_state(parts["generator"])
        self.curve = parts["curve"]


def train(run: Run, images: Images, folder: Path, position: int = 0) -> list[dict[str, float]]:
    """−ELBO after each epoch, on images that were not trained on; finished runs are read from ``folder``."""
    finished, checkpoint = folder / f"{run.name}.json", folder / f"{run.name}.pt"
    if finished.exists():
        curve: list[dict[str, float]] = json.loads(finished.read_text())
        return curve
    state = State(run)
    if checkpoint.exists():
        state.load(checkpoint)
    bar = tqdm(range(len(state.curve), run.epochs), desc=f"{run.name:36}", position=position, unit="epoch", leave=False)
    for _ in bar:
        state.curve.append(_epoch(run, state, *_split(run, images)))
        state.save(checkpoint)
        bar.set_postfix_str(f"−ELBO {state.curve[-1]['exact']:.1f}")
    finished.write_text(json.dumps(state.curve))
    return state.curve


def _split(run: Run, images: Images) -> tuple[Tensor, Tensor]:
    """A parameter is chosen without the test images."""
    return (images.train[:-VALIDATION], images.train[-VALIDATION:]) if run.search else images


def _epoch(run: Run, state: State, train_images: Tensor, held_out: Tensor) -> dict[str, Any]:
    """``objective``: what training minimised, over the epoch; ``own``, ``exact``: held out, by both kinds of sample."""
    started, total = time.perf_counter(), 0.0
    own = partial(METHODS[run.method].draw, k=run.k, value=run.value, generator=state.generator)
    for batch in torch.randperm(len(train_images), generator=state.generator).split(BATCH):
        loss = negative_elbo(state.model, train_images[batch], run.k, own)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        total += loss.item() * len(batch)
    seconds = time.perf_counter() - started
    exact = partial(ksubset.sample, k=run.k, rng=state.generator)
    scores = {name: evaluate(state.model, held_out, run.k, draw) for name, draw in (("exact", exact), ("own", own))}
    return {"objective": total / len(train_images), **scores, "seconds": seconds}
