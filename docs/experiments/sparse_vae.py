"""Discrete sparse autoencoders on MNIST: SIMPLE against I-MLE and the straight-through Gumbel-softmax.

Section 4.2, appendix E.2 and figure 2 of the SIMPLE paper. Each model's learning rate and own parameter are first
searched on held-out training images; then it is trained on all, and −ELBO of the test images is recorded after each
epoch. Interrupted, it goes on where it was, from docs/experiments/runs.

    python docs/experiments/sparse_vae.py --data DIR
"""

import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import Queue, get_context
from pathlib import Path
from typing import Any

import mnist
import torch
from support import FIGURES, RUNS, Claim, finish, folder, parser, save
from vae_figures import draw_curves, draw_pictures
from vae_model import METHODS, MODELS
from vae_training import Run, State, train

RATES = (3e-4, 1e-3)
SEARCH_EPOCHS, QUICK_EPOCHS, QUICK_IMAGES = 3, 2, 10_000

Curves = dict[Run, list[dict[str, float]]]


def main() -> None:
    """Search, train, record."""
    started, options = time.time(), _options()
    images = _images(options)
    searched = {} if options.quick else train_all(searches(), options)
    chosen = choose(searched)
    runs = [final(options, *model, *chosen.get(model, _default(model[0])), seed) for seed, model in _order(options)]
    curves = train_all(runs, options)
    figures = folder(options, FIGURES)
    draw_curves(curves, figures / "sparse_vae.png")
    draw_pictures({run: _state(run, options) for run in curves if run.seed == 0}, images.test, figures)
    save(options, "sparse_vae", {"runs": _listed(curves), "searches": _listed(searched)}, started)
    finish(claims(curves))


def searches() -> list[Run]:
    """Every learning rate with every value of the method's own parameter."""
    return [
        Run(method, k, rate, value, 0, SEARCH_EPOCHS, True)
        for k, methods in MODELS.items()
        for method in methods
        for rate, value in product(RATES, METHODS[method].values)
    ]


def choose(curves: Curves) -> dict[tuple[str, int], tuple[float, float]]:
    """Of each model the rate and value with the lowest objective of its own, on held-out training images."""
    groups: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run, curve in curves.items():
        print(f"{run.name:40} {curve[-1]['own']:8.2f}")
        groups[run.method, run.k].append(run)
    best = {model: min(runs, key=lambda run: curves[run][-1]["own"]) for model, runs in groups.items()}
    return {model: (run.rate, run.value) for model, run in best.items()}


def train_all(runs: Iterable[Run], options: Namespace) -> Curves:
    """In processes of one thread each, which on matrices this small do more than one process of many threads."""
    runs, context, places = list(runs), get_context("spawn"), get_context("spawn").Queue()
    for place in range(options.jobs):
        places.put(place)
    with ProcessPoolExecutor(options.jobs, context, initializer=_begin, initargs=(options, places)) as pool:
        return dict(zip(runs, pool.map(_train, runs), strict=True))


def claims(curves: Curves) -> list[Claim]:
    """What must hold even after a few epochs: training works, and so each method's own −ELBO falls.

    That of exact samples does not always: I-MLE with sum-of-gamma noise trains samples of another law.
    """
    return [
        Claim(f"−ELBO of {run.method}, k = {run.k}, seed {run.seed}, falls", curve[-1]["own"] < curve[0]["own"])
        for run, curve in curves.items()
    ]


def final(options: Namespace, method: str, k: int, rate: float, value: float, seed: int) -> Run:
    """The first seed is trained longer than the others."""
    epochs = QUICK_EPOCHS if options.quick else options.epochs if seed == 0 else options.epochs_of_other_seeds
    return Run(method, k, rate, value, seed, epochs, False)


def _listed(curves: Curves) -> list[dict[str, Any]]:
    return [run._asdict() | {"curve": curve} for run, curve in curves.items()]


def _order(options: Namespace) -> list[tuple[int, tuple[str, int]]]:
    models = [(method, k) for k, methods in MODELS.items() for method in methods]
    return list(product(range(1 if options.quick else options.seeds), models))


def _default(method: str) -> tuple[float, float]:
    """The parameters without a search: the middle of those to try."""
    values: Sequence[float] = METHODS[method].values
    return RATES[-1], values[len(values) // 2]


def _images(options: Namespace) -> mnist.Images:
    images = mnist.load(options)
    return mnist.Images(images.train[:QUICK_IMAGES], images.test[:1000]) if options.quick else images


def _state(run: Run, options: Namespace) -> State:
    state = State(run)
    state.load(folder(options, RUNS / "sparse_vae") / f"{run.name}.pt")
    return state


_worker: dict[str, Any] = {}


def _begin(options: Namespace, places: "Queue[int]") -> None:
    torch.set_num_threads(1)
    folder_of_runs: Path = folder(options, RUNS / "sparse_vae")
    _worker.update(images=_images(options), folder=folder_of_runs, position=places.get())


def _train(run: Run) -> list[dict[str, float]]:
    return train(run, **_worker)


def _options() -> Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--jobs", type=int, default=2, help="processes that train at the same time")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=100, help="for the first seed")
    arguments.add_argument("--epochs-of-other-seeds", type=int, default=100)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
