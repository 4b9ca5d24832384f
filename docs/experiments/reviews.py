"""Movie reviews with the spans that people marked as the reasons for their verdict."""

import gzip
import json
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from support import data_file
from torch import Tensor

SOURCE = (
    "the ERASER movie reviews (https://www.eraserbenchmark.com, Zaidan et al. 2007), a line of JSON per review with "
    "id, label, tokens (joined by spaces) and spans ([start, end) each)"
)
LENGTH = 350
"""Number of tokens that are read from the beginning of a review, as in the paper."""

PADDING, UNKNOWN = 0, 1
LEAST_COUNT = 2
"""A word that the training reviews have only once is unknown."""


class Reviews(NamedTuple):
    """The beginnings of reviews."""

    names: list[str]
    words: list[list[str]]
    tokens: Tensor
    """Indices into the vocabulary, (reviews, LENGTH), padded on the right."""
    human: Tensor
    """True where a token lies in a span that a person marked, (reviews, LENGTH)."""
    labels: Tensor
    """1 for a favourable review, 0 for an unfavourable one."""

    @property
    def present(self) -> Tensor:
        """True where there is a token."""
        return self.tokens != PADDING

    def rows(self, chosen: Tensor | slice) -> "Reviews":
        """Some of them, without their words."""
        return Reviews([], [], self.tokens[chosen], self.human[chosen], self.labels[chosen])


class Splits(NamedTuple):
    """The reviews to learn from, to decide when to stop, and to report, and the number of words."""

    train: Reviews
    validation: Reviews
    test: Reviews
    words: int


def load(options: Namespace) -> Splits:
    """All three splits, with the vocabulary of the first."""
    paths = [data_file(options, f"eraser_movies/{name}.jsonl.gz", SOURCE) for name in ("train", "val", "test")]
    records = [_records(path) for path in paths]
    index = vocabulary(record["tokens"].split()[:LENGTH] for record in records[0])
    return Splits(*(encode(split, index) for split in records), len(index) + 2)


def vocabulary(texts: Iterable[Sequence[str]]) -> dict[str, int]:
    """The index of each word that is frequent enough, the most frequent first."""
    counts = Counter(word for text in texts for word in text)
    frequent = [word for word, count in counts.most_common() if count >= LEAST_COUNT]
    return {word: i for i, word in enumerate(frequent, start=UNKNOWN + 1)}


def encode(records: Sequence[dict[str, Any]], index: dict[str, int]) -> Reviews:
    """Cut or padded to LENGTH tokens."""
    words = [record["tokens"].split()[:LENGTH] for record in records]
    tokens = torch.full((len(records), LENGTH), PADDING)
    human = torch.zeros(len(records), LENGTH, dtype=torch.bool)
    for row, (record, text) in enumerate(zip(records, words, strict=True)):
        tokens[row, : len(text)] = torch.tensor([index.get(word, UNKNOWN) for word in text])
        for start, end in record["spans"]:
            human[row, start:end] = True
    labels = torch.tensor([float(record["label"]) for record in records])
    return Reviews([record["id"] for record in records], words, tokens, human, labels)


def _records(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
