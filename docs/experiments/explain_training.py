"""One training: the best state by validation loss, and its scores on the test reviews."""

import copy
import time
from typing import Any, NamedTuple

import torch
from explain_methods import EVERY, METHODS, Setting
from explain_model import Explainer
from reviews import PADDING, UNKNOWN, Reviews, Splits
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

import ksubset

BATCH = 40
WEIGHT_DECAY = 1e-2
WORD_DROPOUT = 0.3
"""The share of tokens that read as unknown while learning, against networks that know 1600 reviews by heart."""

PATIENCE = 3
"""Epochs without a better validation loss before a training ends, once it has left the plateau."""

PLATEAU = 0.68
"""A loss between here and log 2 = 0.693 is that of a constant guess: nothing has been learned yet."""


class Scores(NamedTuple):
    """With the most likely subset in place of a sample, as in the paper."""

    accuracy: float
    cross_entropy: float
    precision: float
    """The share of the chosen tokens that a person marked, too."""


def train(setting: Setting, data: Splits) -> dict[str, Any]:
    """The scores, the losses of each epoch, and the tokens chosen in the test reviews."""
    torch.manual_seed(setting.seed)
    model, started = Explainer(data.words), time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), lr=setting.rate, weight_decay=WEIGHT_DECAY)
    losses: list[tuple[float, float]] = []
    best: dict[str, Tensor] = {}
    for _ in tqdm(range(setting.epochs), setting.name(), unit="epoch", leave=False, position=1):
        fitted = _epoch(model, optimizer, data.train, setting)
        found = evaluate(model, data.validation, setting)[0].cross_entropy
        if found < min((loss for _, loss in losses), default=torch.inf):
            best = copy.deepcopy(model.state_dict())
        losses.append((fitted, found))
        if _stale([loss for _, loss in losses]):
            break
    model.load_state_dict(best)
    return {"setting": setting.as_dict(), "losses": losses, **_report(model, data, setting, started)}


def evaluate(model: Explainer, reviews: Reviews, setting: Setting) -> tuple[Scores, Tensor, Tensor]:
    """The scores, the subsets and the log-odds."""
    model.eval()
    with torch.no_grad():
        logits = model.selector(reviews.tokens)
        subsets = _explanation(logits, setting)
        odds = model.predictor(reviews.tokens, subsets, setting.k)
    right = ((odds > 0) == (reviews.labels > 0)).float().mean()
    loss = binary_cross_entropy_with_logits(odds, reviews.labels)
    return Scores(right.item(), loss.item(), precision(subsets, reviews.human)), subsets, odds


def precision(subsets: Tensor, human: Tensor) -> float:
    """The share of the chosen tokens that lies in the spans that people marked."""
    return (subsets * human).sum().item() / subsets.sum().item()


def concentration(model: Explainer, reviews: Reviews, setting: Setting) -> float:
    """The share that the k largest entries of a sample have in its sum: 1 for a subset, less for a relaxed one."""
    with torch.no_grad():
        sample = EVERY[setting.method].sample(model.selector(reviews.tokens), setting.k, **setting.parameters)
    return (sample.topk(setting.k).values.sum(dim=-1) / sample.sum(dim=-1)).mean().item()


def chance(reviews: Reviews) -> float:
    """The precision to expect of tokens chosen at random: the mean share of marked tokens."""
    return (reviews.human.sum(dim=-1) / reviews.present.sum(dim=-1)).mean().item()


def _epoch(model: Explainer, optimizer: torch.optim.Optimizer, reviews: Reviews, setting: Setting) -> float:
    """The mean loss of the samples."""
    model.train()
    total, sample = 0.0, EVERY[setting.method].sample
    for rows in torch.randperm(len(reviews.tokens)).split(BATCH):
        batch = reviews.rows(rows)
        tokens = _with_gaps(batch.tokens)
        subsets = sample(model.selector(tokens), setting.k, **setting.parameters)
        odds = model.predictor(tokens, subsets, setting.k)
        loss = binary_cross_entropy_with_logits(odds, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(reviews.tokens)


def _with_gaps(tokens: Tensor) -> Tensor:
    forgotten = (torch.rand(tokens.shape) < WORD_DROPOUT) & (tokens != PADDING)
    return tokens.masked_fill(forgotten, UNKNOWN)


def _explanation(logits: Tensor, setting: Setting) -> Tensor:
    if setting.method in METHODS:
        return ksubset.mode(logits, setting.k)
    return EVERY[setting.method].sample(logits, setting.k)


def _stale(losses: list[float]) -> bool:
    best = min(losses)
    return best < PLATEAU and len(losses) - 1 - losses.index(best) >= PATIENCE


def _report(model: Explainer, data: Splits, setting: Setting, started: float) -> dict[str, Any]:
    scores, subsets, odds = evaluate(model, data.test, setting)
    chosen = [row.nonzero().flatten().tolist() for row in subsets] if setting.method in METHODS else []
    return {
        "validation": evaluate(model, data.validation, setting)[0]._asdict(),
        "test": scores._asdict(),
        "weight on k": concentration(model, data.test, setting),
        "probabilities": [round(p, 4) for p in odds.sigmoid().tolist()],
        "chosen": chosen,
        "processor seconds": round(time.process_time() - started, 1),
    }
