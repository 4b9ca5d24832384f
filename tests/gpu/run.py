"""Everything that a machine with an NVIDIA GPU can say of this library, by one command, in about ten minutes.

    python tests/gpu/run.py --out FOLDER [--wheels FOLDER] [--emulated]

The machine needs torch, CuPy, JAX and pytest, of which what is missing is reported; no network, and no CUDA toolkit.
What else is needed may be there as wheels. Each step is a process with a limit of its own, and a failure does not stop
the next. Without a device, or where asked to, the emulator takes its place, on small shapes: that shows that the steps
work.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from steps import Step, steps

ROOT = Path(__file__).resolve().parents[2]
SIGNS = {"passed": "ok", "failed": "FAILED", "out of time": "OUT OF TIME", "absent": "--"}


@dataclass
class Result:
    """What became of a step; ``last`` is the last line that it printed, or why it was left out."""

    name: str
    status: str
    seconds: float
    last: str


class Running:
    """A step at work, in a session of its own, so that what it starts ends with it."""

    def __init__(self, step: Step, out: Path, environment: dict[str, str]) -> None:
        self.step, self.file, self.start = step, out / f"{step.name.replace(' ', '-')}.txt", time.monotonic()
        own = {"env": environment | step.environment, "cwd": ROOT, "start_new_session": True}
        with self.file.open("wb") as output:
            self.process = subprocess.Popen(step.command, stdout=output, stderr=subprocess.STDOUT, **own)

    def end(self) -> Result:
        """Wait for it, no longer than its limit."""
        try:
            code = self.process.wait(max(0, self.start + self.step.limit - time.monotonic()))
            status = "passed" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "out of time"
        self.stop()
        lines = self.file.read_text(errors="replace").strip().splitlines()
        return Result(self.step.name, status, round(time.monotonic() - self.start, 1), lines[-1] if lines else "")

    def stop(self) -> None:
        """Leave nothing of it behind."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def has_device() -> bool:
    """Whether the driver is there and counts a device."""
    try:
        driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    except OSError:
        return False
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def environment(wheels: Path | None, out: Path, emulated: bool) -> dict[str, str]:
    """The environment of every step, with the wheels unpacked for them alone."""
    folders = [str(ROOT), str(ROOT / "tests")]
    if wheels:
        site, quietly = str(out / "site"), ["-q", "--no-index", "--no-deps", "--upgrade"]
        pip = [sys.executable, "-m", "pip", "install", *quietly, "--target", site]
        subprocess.run([*pip, *map(str, sorted(wheels.glob("*.whl")))], check=True)
        folders.append(site)
    found = dict(os.environ) | {"PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(out / "cache")}
    found["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
    return found | ({"KSUBSET_EMULATED": "1"} if emulated else {})


def run(groups: list[list[Step]], out: Path, common: dict[str, str]) -> Iterator[Result]:
    """The groups one after the other, the steps of a group at the same time."""
    for group in groups:
        yield from (Result(step.name, "absent", 0.0, step.absent) for step in group if step.absent)
        started = [Running(step, out, common) for step in group if not step.absent]
        try:
            yield from (running.end() for running in started)
        finally:
            for running in started:
                running.stop()


def main() -> int:
    """Run the steps, print a line for each, write all that they printed and a summary."""
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ask.add_argument("--out", type=Path, required=True, help="where everything is written")
    ask.add_argument("--wheels", type=Path, help="a folder of wheels that the steps import")
    ask.add_argument("--emulated", action="store_true", help="the emulator in the place of the device, small shapes")
    asked = ask.parse_args()
    out, emulated = asked.out.resolve(), asked.emulated or not has_device()
    out.mkdir(parents=True, exist_ok=True)
    print("on the emulator" if emulated else "on the device", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends too
    results = []
    for result in run(steps(out, emulated), out, environment(asked.wheels, out, emulated)):
        results.append(result)
        print(f"{SIGNS[result.status]:<12}{result.seconds:>7} s  {result.name}: {result.last}", flush=True)
    summary = {"emulated": emulated, "steps": [asdict(result) for result in results]}
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    return int(any(result.status in ("failed", "out of time") for result in results))


if __name__ == "__main__":
    sys.exit(main())
