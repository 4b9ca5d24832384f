"""How far are the gradient estimators from the exact gradient, on a problem small enough to have one?

The loss is |z - b|^2 for 5 of 10 items, as in Fig. 3 of the SIMPLE paper, and for 1 of 10, as in its Fig. 1b. Every
estimator gives 10,000 gradients for each of 20 pairs of logits and b; their bias, variance and error are measured by
cosines. Three protocols: "appendix", b normal; "notebook", b = |normal|; "sharp", our own, b normal and logits three
times as large. The page is `synthetic.md`; `synthetic_report.py` makes its figures and tables. No data is needed.

    python docs/experiments/synthetic.py [--quick]
"""

import time
from typing import Any

import numpy as np
import torch
from support import Claim, finish, parser, save
from synthetic_estimators import Estimator, Loss, everything, straight_through
from synthetic_metrics import Metrics, measure
from synthetic_report import report
from torch import Tensor
from tqdm import tqdm

from ksubset import estimators

N, SIZES, SAMPLES = 10, (5, 1), 10_000
SEEDS = (1234, 1067, 9198, 9453, 6240, 7044, 1755, 7898, 3131, 1277, *range(10))
"""The first ten seeds come from the official notebook at k = 5, the first one at k = 1: with its logits and its b."""

OFFICIAL = {5: 10, 1: 1}

PROTOCOLS = ("appendix", "notebook", "sharp")
SHARP = 3
WORSE = ("I-MLE", "SIMPLE-F", "score function", "top-k ST")
"""The paper's claims about these at k = 5 are checked; its claims about the others are on the page."""


def problem(seed: int, protocol: str) -> tuple[Tensor, Loss]:
    """Normal logits and the loss, drawn as in the official notebook and by its generator."""
    numbers = np.random.RandomState(seed)
    logits, b = (torch.tensor(numbers.randn(N)) for _ in range(2))
    target = b.abs() if protocol == "notebook" else b
    return logits * (SHARP if protocol == "sharp" else 1), lambda z: ((z - target) ** 2).sum(-1)


def exact_gradient(loss: Loss, logits: Tensor, k: int) -> Tensor:
    """By enumeration."""
    leaf = logits.clone().requires_grad_()
    return torch.autograd.grad(estimators.exact_gradient(loss, leaf, k), leaf)[0]


def run(seed: int, protocol: str, k: int, samples: int) -> dict[str, Metrics]:
    """All estimators on one problem; each starts from the same random numbers."""
    logits, loss = problem(seed, protocol)
    exact = exact_gradient(loss, logits, k)
    rows = logits.expand(samples, N).clone().requires_grad_()

    def gradients(estimate: Estimator) -> Tensor:
        return estimate(loss, rows, k, torch.Generator().manual_seed(seed))

    return {name: measure(gradients(estimate), exact) for name, estimate in chosen(k).items()}


def chosen(k: int) -> dict[str, Estimator]:
    """At k = 1 the estimators of Fig. 1b, the unbiased ones, and the constant that knows nothing."""
    if k > 1:
        return everything()
    names = ("SIMPLE", "score function", "unbiased SIMPLE", "constant")
    return {name: everything()[name] for name in names} | straight_through()


def summarise(runs: list[dict[str, Metrics]]) -> dict[str, dict[str, Any]]:
    """Means and standard deviations over seeds, and for how many seeds the error is smaller than SIMPLE's."""
    table: dict[str, dict[str, Any]] = {}
    for name in runs[0]:
        values = np.array([each[name] for each in runs])
        columns = zip(values.mean(0), values.std(0, ddof=min(1, len(runs) - 1)), strict=True)
        table[name] = {
            field: [round(mean, 5) + 0.0, round(deviation, 5)]
            for field, (mean, deviation) in zip(Metrics._fields, columns, strict=True)
        }
        table[name]["wins"] = sum(each[name].error < each["SIMPLE"].error for each in runs)
    return table


def claims(results: dict[str, dict[str, Any]]) -> list[Claim]:
    """At k = 5: SIMPLE's mean error against the best setting of each estimator that averages no samples either."""
    found = []
    for protocol in PROTOCOLS:
        table = results[f"k = 5, {protocol}"]
        errors = {name: row["error"][0] for name, row in table.items() if "samples" not in name}
        for other in (*WORSE, "SoftSub", "L2X", "constant") if protocol == "sharp" else WORSE:
            best = min(error for name, error in errors.items() if name.startswith(other))
            text = f"{protocol}: error {errors['SIMPLE']:.3f} of SIMPLE < {best:.3f} of the best {other}"
            found.append(Claim(text, errors["SIMPLE"] < best))
    return found


def main() -> None:
    options, started = parser(__doc__).parse_args(), time.time()
    torch.set_num_threads(1)  # on arrays this small, threads cost time
    seeds, samples = (SEEDS[:3], 1000) if options.quick else (SEEDS, SAMPLES)
    results, official = {}, {}
    for k in SIZES:
        for protocol in PROTOCOLS:
            bar = tqdm(seeds, desc=f"k = {k}, {protocol}", unit="seed")
            runs = [run(seed, protocol, k, samples) for seed in bar]
            results[f"k = {k}, {protocol}"] = summarise(runs)
            if protocol == "notebook":
                official[f"k = {k}"] = summarise(runs[: OFFICIAL[k]])
    outcome = {"n": N, "samples": samples, "seeds": seeds, "results": results, "official seeds": official}
    save(options, "synthetic", outcome, started)
    report(options, outcome)
    finish(claims(results))


if __name__ == "__main__":
    main()
