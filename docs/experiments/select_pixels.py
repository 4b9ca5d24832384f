"""Which 10 of 64 pixels tell handwritten digits apart?

A softmax classifier sees only 10 pixels of each image, a fresh subset for every image, drawn from a k-subset
distribution whose 64 logits all images share. The classifier and the logits are trained together: a sample goes forward
and J·g, the SIMPLE gradient, comes back. At the end the 10 most likely pixels are kept, and a new classifier that sees
only these is compared with classifiers that see other pixels.

`SubsetSelector` does this for scikit-learn, and is the default; the same step is written out for NumPy, torch and JAX.

    python docs/experiments/select_pixels.py --backend torch --seed 1
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import ksubset
from ksubset.backends.sklearn import SubsetSelector

SIDE = 8
PIXELS, CLASSES, CHOSEN = SIDE * SIDE, 10, 10
BATCH = 128
LEARN_STEPS, FIT_STEPS = 2000, 500
LOGIT_RATE, CLASSIFIER_RATE = 0.05, 0.02

Parameters = list[np.ndarray]
Gradients = Callable[[Parameters, np.ndarray, np.ndarray], tuple[float, Sequence[np.ndarray]]]
"""From parameters, images and labels to the mean loss and its gradients, all in NumPy."""


class Digits(NamedTuple):
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    mean_image: np.ndarray


def load(seed: int) -> Digits:
    """Two fifths of the images are held out. Pixels are centred, so that one left out reads as its mean."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images, labels, test_size=0.4, stratify=labels, random_state=seed)
    train_images, test_images, train_labels, test_labels = split
    mean, scale = train_images.mean(axis=0), images.max()
    train_images, test_images = (((x - mean) / scale).astype(np.float32) for x in (train_images, test_images))
    return Digits(train_images, train_labels, test_images, test_labels, mean / scale)


# The gradient of one step, in each framework. Parameters: subset logits, weights, biases.


def numpy_gradients(seed: int) -> Gradients:
    """By hand: cross-entropy back to the pixels that were shown, then J·g by `ksubset.marginals_jvp`."""
    rng = np.random.default_rng(seed)

    def gradients(parameters: Parameters, images: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
        logits, weights, bias = parameters
        subset = ksubset.sample(logits, CHOSEN, rng=rng, sample_shape=(len(images),))
        shown = images * subset
        loss, d_scores = cross_entropy(shown @ weights + bias, labels)
        d_subset = images * (d_scores @ weights.T)
        d_logits = ksubset.marginals_jvp(logits, CHOSEN, d_subset.sum(axis=0))
        return loss, [d_logits, shown.T @ d_scores, d_scores.sum(axis=0)]

    return gradients


def torch_gradients(seed: int) -> Gradients:
    import torch

    torch.set_num_threads(1)  # on arrays this small, threads cost time, and on a busy machine very much of it
    generator = torch.Generator().manual_seed(seed)

    def gradients(parameters: Parameters, images: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
        logits, weights, bias = leaves = [torch.tensor(p, requires_grad=True) for p in parameters]
        subset = ksubset.rsample(logits, CHOSEN, rng=generator, sample_shape=(len(images),))
        scores = (torch.tensor(images) * subset) @ weights + bias
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor(labels))
        return loss.item(), [g.numpy() for g in torch.autograd.grad(loss, leaves)]

    return gradients


def jax_gradients(seed: int) -> Gradients:
    import jax

    def loss(parameters: list[jax.Array], images: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
        logits, weights, bias = parameters
        subset = ksubset.rsample(logits, CHOSEN, rng=key, sample_shape=(len(images),))
        log_probs = jax.nn.log_softmax((images * subset) @ weights + bias)
        return -(log_probs * jax.nn.one_hot(labels, CLASSES)).sum(axis=-1).mean()

    loss_and_gradients = jax.jit(jax.value_and_grad(loss))
    key, steps = jax.random.key(seed), count()

    def gradients(parameters: Parameters, images: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
        value, slopes = loss_and_gradients(parameters, images, labels, jax.random.fold_in(key, next(steps)))
        return float(value), [np.asarray(g) for g in slopes]

    return gradients


def classifier_gradients(parameters: Parameters, images: np.ndarray, labels: np.ndarray) -> tuple[float, Parameters]:
    """The same classifier without a subset to learn, for pixels that are fixed beforehand."""
    weights, bias = parameters
    loss, d_scores = cross_entropy(images @ weights + bias, labels)
    return loss, [images.T @ d_scores, d_scores.sum(axis=0)]


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean loss of a batch and its gradient with respect to the scores."""
    scores = scores - scores.max(axis=1, keepdims=True)
    log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    target = np.eye(CLASSES, dtype=scores.dtype)[labels]
    return -float((log_probs * target).sum(axis=1).mean()), (np.exp(log_probs) - target) / len(labels)


# Training and scoring, the same for all.


def train(gradients: Gradients, parameters: Parameters, rates: Sequence[float], batches: Iterator) -> Parameters:
    """Adam."""
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for step, (images, labels) in enumerate(batches, start=1):
        _, slopes = gradients(parameters, images, labels)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, slopes, strict=True)]
        second = [0.999 * s + 0.001 * g**2 for s, g in zip(second, slopes, strict=True)]
        scale = (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        updates = (r * scale * m / (np.sqrt(s) + 1e-8) for r, m, s in zip(rates, first, second, strict=True))
        parameters = [p - u for p, u in zip(parameters, updates, strict=True)]
    return parameters


def batches(data: Digits, steps: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.integers(len(data.train_labels), size=BATCH)
        yield data.train_images[rows], data.train_labels[rows]


def learn_logits(data: Digits, backend: str, seed: int) -> np.ndarray:
    """Train the subset logits together with a classifier, which is then dropped."""
    if backend == "selector":
        selector = SubsetSelector(CHOSEN, random_state=seed)
        return selector.fit(data.train_images, data.train_labels).logits_
    gradients = BACKENDS[backend](seed)
    start = [np.zeros(shape, np.float32) for shape in (PIXELS, (PIXELS, CLASSES), CLASSES)]
    rates = (LOGIT_RATE, CLASSIFIER_RATE, CLASSIFIER_RATE)
    stream = tqdm(batches(data, LEARN_STEPS, seed), total=LEARN_STEPS, desc="learning which pixels", unit="step")
    return train(gradients, start, rates, stream)[0]


def accuracy(data: Digits, pixels: np.ndarray, seed: int) -> float:
    """Held-out accuracy of a new classifier that sees only these pixels."""
    data = data._replace(train_images=data.train_images[:, pixels], test_images=data.test_images[:, pixels])
    start = [np.zeros(shape, np.float32) for shape in ((len(pixels), CLASSES), CLASSES)]
    stream = batches(data, FIT_STEPS, seed)
    weights, bias = train(classifier_gradients, start, (CLASSIFIER_RATE, CLASSIFIER_RATE), stream)
    guesses = (data.test_images @ weights + bias).argmax(axis=1)
    return float((guesses == data.test_labels).mean())


def compare(data: Digits, learned: np.ndarray, seed: int) -> dict[str, float]:
    """Held-out accuracy with the learned pixels and with three other choices."""
    rng = np.random.default_rng(seed)
    draws = [rng.choice(PIXELS, CHOSEN, replace=False) for _ in range(10)]
    variable = np.argsort(-data.train_images.var(axis=0))[:CHOSEN]
    return {
        "all 64 pixels": accuracy(data, np.arange(PIXELS), seed),
        "10 learned pixels": accuracy(data, learned, seed),
        "10 most variable pixels": accuracy(data, variable, seed),
        "10 random pixels, mean of 10 draws": float(np.mean([accuracy(data, pixels, seed) for pixels in draws])),
    }


def draw_picture(marginals: np.ndarray, learned: np.ndarray, data: Digits, path: Path) -> None:
    """The marginals as a map, and three images in which all but the learned pixels are faded."""
    figure, (left, *others) = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    picture = left.imshow(marginals.reshape(SIDE, SIDE), vmin=0, vmax=1)
    figure.colorbar(picture, ax=left, label="probability to be chosen")
    left.set_title("learned marginals")
    opacity = np.where(np.isin(np.arange(PIXELS), learned), 1.0, 0.2).reshape(SIDE, SIDE)
    for axes, image, label in zip(others, data.test_images + data.mean_image, data.test_labels, strict=False):
        axes.imshow(image.reshape(SIDE, SIDE), cmap="gray_r", alpha=opacity)
        axes.set_title(f"a {label} by {CHOSEN} pixels")
    rows, columns = np.divmod(learned, SIDE)
    for axes in (left, *others):
        axes.scatter(columns, rows, marker="s", s=450, facecolors="none", edgecolors="tab:red", linewidths=2)
        axes.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


BACKENDS = {"numpy": numpy_gradients, "torch": torch_gradients, "jax": jax_gradients}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", choices=["selector", *BACKENDS], default="selector", help="who trains the logits")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the batches and the subsets")
    picture = Path(__file__).with_suffix(".png")
    parser.add_argument("--out", type=Path, default=picture, help="the picture; results go beside it in JSON")
    return parser.parse_args()


def main() -> None:
    arguments, began = parse(), time.perf_counter()
    seed, data = arguments.seed, load(arguments.seed)
    logits = learn_logits(data, arguments.backend, seed)
    marginals = ksubset.marginals(logits, CHOSEN)
    learned = np.flatnonzero(ksubset.mode(logits, CHOSEN))
    accuracies = compare(data, learned, seed)
    seconds = round(time.perf_counter() - began, 1)

    print(f"\nAccuracy on {len(data.test_labels)} held-out images ({arguments.backend}, seed {seed}, {seconds} s):")
    for name, value in accuracies.items():
        print(f"  {name:<36}{value:6.1%}")
    draw_picture(marginals, learned, data, arguments.out)
    results = {"backend": arguments.backend, "seed": seed, "seconds": seconds, "accuracy": accuracies}
    results |= {"pixels": learned.tolist(), "marginals": marginals.round(4).tolist()}
    arguments.out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"Picture: {arguments.out}")


if __name__ == "__main__":
    main()
