"""Which path calls take on the device, and why."""

import torch
from device import enter

import ksubset

SHAPES = [(64, 64, 8), (128, 350, 10), (64, 4096, 64), (1, 100_000, 1000)]

if __name__ == "__main__":
    place = enter()
    for rows, n, k in SHAPES:
        print(f"\n{rows} rows of {n} items, k = {k}")
        ksubset.show_config(torch.zeros(rows, n, device=place), k)
