"""Curves of −ELBO, reconstructions of test images, and images from the prior."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Generator, Tensor
from vae_model import ITEMS, METHODS, MODELS, ROWS, Autoencoder
from vae_training import Run, State

import ksubset

COLUMNS, SIDE = 10, 28


def draw_curves(curves: Mapping[Run, list[dict[str, float]]], path: Path) -> None:
    """A panel for each k: the first seed as a line, and the range of all seeds as far as all of them go."""
    figure, axes = plt.subplots(1, len(MODELS), figsize=(9, 3.6), layout="constrained")
    for k, axis in zip(MODELS, axes, strict=True):
        groups: dict[str, list[list[float]]] = defaultdict(list)
        for run, curve in curves.items():
            if run.k == k:
                groups[run.method].append([epoch["exact"] for epoch in curve])
        for method, seeds in groups.items():
            _draw_seeds(axis, METHODS[method].title, seeds)
        highest = max(max(seed[len(seed) // 20 :]) for seeds in groups.values() for seed in seeds)
        axis.set_ylim(top=highest)  # the first epochs of a long training would hide the rest
        axis.set(title=f"k = {k} of {ITEMS}", xlabel="epoch", ylabel="−ELBO of test images, nats")
        axis.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_seeds(axis: Axes, title: str, seeds: list[list[float]]) -> None:
    common = min(map(len, seeds))
    spread = np.array([seed[:common] for seed in seeds])
    (line,) = axis.plot(np.arange(1, len(seeds[0]) + 1), seeds[0], label=title, linewidth=1)
    axis.fill_between(np.arange(1, common + 1), spread.min(0), spread.max(0), color=line.get_color(), alpha=0.25)


@torch.no_grad()
def draw_pictures(states: Mapping[Run, State], images: Tensor, folder: Path) -> None:
    """A row for each model: its reconstructions below the images themselves; its samples."""
    labels = [f"{METHODS[run.method].title}, k = {run.k}" for run in states]
    shown, generator = images[:COLUMNS], Generator().manual_seed(0)
    again = [_reconstruct(state.model, shown, run.k, generator) for run, state in states.items()]
    _draw_rows(["test images", *labels], [shown, *again], folder / "sparse_vae_reconstructions.png")
    fresh = [_generate(state.model, run.k, generator) for run, state in states.items()]
    _draw_rows(labels, fresh, folder / "sparse_vae_samples.png")


def _reconstruct(model: Autoencoder, images: Tensor, k: int, generator: Generator) -> Tensor:
    return model.pixels(ksubset.sample(model.logits(images), k, rng=generator)).sigmoid()


def _generate(model: Autoencoder, k: int, generator: Generator) -> Tensor:
    """The prior is uniform over subsets."""
    return model.pixels(ksubset.sample(torch.zeros(COLUMNS, ROWS, ITEMS), k, rng=generator)).sigmoid()


def _draw_rows(labels: list[str], rows: list[Tensor], path: Path) -> None:
    figure, axes = plt.subplots(len(rows), 1, figsize=(7, 0.8 * len(rows)), layout="constrained")
    for axis, label, row in zip(np.atleast_1d(axes), labels, rows, strict=True):
        axis.imshow(row.unflatten(-1, (SIDE, SIDE)).swapaxes(0, 1).flatten(1), cmap="gray_r", vmin=0, vmax=1)
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=150)
    plt.close(figure)
