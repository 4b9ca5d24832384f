"""Learning to explain a verdict by k words of a review: SIMPLE beside I-MLE, SoftSub and L2X.

A network gives each of the first 350 tokens of a movie review a logit, a subset of k tokens is drawn, and a second
network guesses from these alone whether the review is favourable. Do its guesses come true, and has it chosen the words
that people marked as their reasons? First a search over the parameters of each estimator, at one k and one seed; then
the trainings that are reported. Those that are finished are not done again.

    python docs/experiments/explain.py --data DIR
"""

import json
import time
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

import explain_page
import explain_reviews
import torch
from explain_methods import EVERY, Setting, combinations
from explain_summary import summarise
from explain_training import chance, train
from reviews import Splits, load
from support import RUNS, Claim, finish, folder, parser, save
from tqdm import tqdm

SIZES = (5, 10, 15)
EPOCHS = 15
SEARCHED_SIZE, SEARCH_SEED = 10, 100

Run = dict[str, Any]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=3, help="trainings of each estimator at each k")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    data = load(options)
    searched: list[Run] = []
    if options.quick:
        runs = perform(quick(), data, options)
    else:
        searched = perform(search(), data, options)
        runs = perform(reported(searched, options.seeds), data, options)
    results = summarise(searched, runs) | {"chance": chance(data.test)}
    save(options, "explain", results, time.time() - results["processor seconds"])  # of earlier calls, too
    if not options.quick:
        explain_page.write(results, explain_reviews.examples(runs, data.test))
        explain_reviews.write(runs, data.test)
    finish(claims(results))


def quick() -> list[Setting]:
    """Two estimators, one training each, with parameters that the search has found good."""
    return [Setting("simple", 10, 0, 0.005, 5), Setting("l2x", 10, 0, 0.005, 5, {"tau": 0.5})]


def search() -> list[Setting]:
    """Every combination of each estimator's parameters and the learning rates."""
    return [
        Setting(name, SEARCHED_SIZE, SEARCH_SEED, rate, EPOCHS, parameters)
        for name, method in EVERY.items()
        for rate in method.rates
        for parameters in combinations(method)
    ]


def reported(searched: list[Run], seeds: int) -> list[Setting]:
    """With the parameters of the lowest validation loss, seed by seed; all tokens are the same for every k."""
    best = {name: min((r for r in searched if r["setting"]["method"] == name), key=_validation_loss) for name in EVERY}
    return [
        Setting(**{**best[name]["setting"], "k": k, "seed": seed})
        for seed in range(seeds)
        for name in EVERY
        for k in (SIZES if name != "all" else SIZES[:1])
    ]


def perform(settings: Iterable[Setting], data: Splits, options: Namespace) -> list[Run]:
    """The trainings, from their files where they are finished; a quick run does them anew."""
    place, settings = folder(options, RUNS / "explain"), list(settings)
    paths = [place / f"{setting.name()}.json" for setting in settings]
    waiting = [(s, p) for s, p in zip(settings, paths, strict=True) if options.quick or not p.exists()]
    for setting, path in tqdm(waiting, "trainings", unit="training"):
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(train(setting, data)))
        unfinished.rename(path)
    return [json.loads(path.read_text()) for path in paths]


def claims(results: dict[str, Any]) -> list[Claim]:
    """What should hold at every run; how the estimators compare is told as it falls."""
    rows = [row for row in results["scores"] if row["method"] == "simple"]
    marked = results["chance"]
    return [
        *(Claim(f"SIMPLE, k = {r['k']}: more than 55 % of guesses are right", r["accuracy"][0] > 0.55) for r in rows),
        *(
            Claim(f"SIMPLE, k = {r['k']}: precision above chance, {marked:.1%}", r["precision"][0] > marked)
            for r in rows
        ),
    ]


def _validation_loss(run: Run) -> float:
    return float(run["validation"]["cross_entropy"])


if __name__ == "__main__":
    main()
