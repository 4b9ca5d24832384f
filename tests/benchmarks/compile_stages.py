"""Where the time of a process goes that calls for the first time, in seconds, as JSON.

    python tests/benchmarks/compile_stages.py CODE

``CODE`` is Python that computes something. Numba says when its passes begin and end, and when LLVM is at work.
"""

import json
import sys
import time

from numba.core import event

STAGES = {"nopython_type_inference": "types", "native_lowering": "lowering"}
"""The stages of Numba's passes that take the most; the others are together."""


class Clock(event.Listener):
    """The time that each stage takes by itself, without the stages inside of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.open: list[str] = []
        self.since = 0.0

    def on_start(self, event: event.Event) -> None:
        self._count()
        self.open.append(_stage(event))

    def on_end(self, event: event.Event) -> None:
        self._count()
        self.open.pop()

    def _count(self) -> None:
        now = time.perf_counter()
        if self.open:
            self.seconds[self.open[-1]] = self.seconds.get(self.open[-1], 0.0) + now - self.since
        self.since = now


def _stage(event: event.Event) -> str:
    if event.kind == "numba:llvm_lock":
        return "LLVM"
    return STAGES.get(event.data["name"].split()[0], "other passes")


def main() -> None:
    """Run, and print what each stage took, and the whole."""
    import torch

    x = torch.zeros(4, 9, requires_grad=True)
    clock, begin = Clock(), time.perf_counter()
    for kind in ("numba:run_pass", "numba:llvm_lock"):
        event.register(kind, clock)
    exec(sys.argv[1], {"x": x})
    print(json.dumps(clock.seconds | {"whole": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
