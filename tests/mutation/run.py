"""Mutation tests of the core: `nox -s mutation` changes it in one place at a time and asks whether a test notices.

Each mutant lives in a child of one process that has the frameworks loaded already, and replaces its module there. The
tests run on NumPy without the fast path, on torch for the derivatives, the quickest first. Survivors make the
session fail; what tests/mutation/survivors.py explains is harmless, and not tried.
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import CodeType, ModuleType

from operators import Mutant, mutants
from survivors import ANY, HARMLESS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
QUICK = ["test_values.py", "test_battery_values.py"]
POTENTIALS = ["test_cardinality_arguments.py", "test_cardinality.py", "test_parts.py"]
WEIGHTS = POTENTIALS[:2]
PARTS = [*POTENTIALS[::-1], "test_count_log_pmf.py"]
ARGUMENTS = ["test_validation.py", "test_inverse.py", *WEIGHTS[:1], "test_values.py", "test_indices.py"]
TESTS = {
    "_engine.tilt": [*QUICK, "test_tilt.py", "test_accuracy.py", "test_battery_symmetries.py"],
    "_engine.items": ["test_items.py", *QUICK, "test_exchange.py", "test_contour.py", "test_accuracy.py"],
    "_engine.nodes": ["test_nodes.py", *QUICK, "test_contour.py", "test_accuracy.py"],
    "_engine.factors": ["test_factors.py", "test_contour.py", "test_spread.py", *QUICK],
    "_engine.direct": ["test_contour.py", *QUICK, "test_accuracy.py"],
    "_engine.power_sums": ["test_power_sums.py", "test_contour.py", "test_accuracy.py"],
    "_engine.contour": ["test_contour.py", "test_power_sums.py", *QUICK, *POTENTIALS],
    "_engine.exchange": ["test_exchange.py", *QUICK, "test_accuracy.py"],
    "_engine.polynomial": ["test_polynomial.py", "test_sampling.py", "test_window.py"],
    "_engine.tree": ["test_tree.py", *QUICK, "test_window.py", "test_sampling.py"],
    "_engine.rows": ["test_sampling.py", "test_tree.py", *QUICK],
    "_engine.window": ["test_window.py", "test_tree.py", "test_spread.py"],
    "_engine.inference": [*QUICK, "test_contour.py", "test_exchange.py", "test_spread.py", "test_sampling.py"],
    "_api.information": [*QUICK, "test_validation.py"],
    "_engine.sampling": ["test_sampling.py", "test_window.py", "test_battery_values.py"],
    "_law.functions": ["test_laws.py", *QUICK, "test_validation.py", "test_accuracy.py", "test_battery_layouts.py"],
    "_engine.elementary": ["test_elementary.py", "test_nodes.py", *QUICK],
    "_law.derivatives": [
        "test_count_log_pmf.py",
        "test_cardinality_derivatives.py",
        "test_grad.py",
        "test_jvp.py",
        "test_second_order.py",
        "test_inverse_derivatives.py",
        "test_masks_forced.py",
    ],
    "_call.value_checks": [
        "test_validation.py",
        "test_masks.py",
        "test_inverse.py",
        "test_cardinality_arguments.py",
        "test_values.py",
    ],
    "_call.argument_checks": ARGUMENTS,
    "_call.size_checks": ARGUMENTS,
    "_engine.summation": ["test_summation.py", "test_spread.py"],
    "_law.by_kernels": ["test_each_size.py", "test_fast_scores.py", "test_fast_choice.py"],
    "_law.law": ["test_laws.py", *QUICK],
    "_law.fixed_size": ["test_laws.py", *QUICK, "test_validation.py", "test_sampling.py"],
    "_law.size_weighted": ["test_laws.py", "test_each_size.py", *WEIGHTS, "test_count_log_pmf.py"],
    "_law.surprisals": [*QUICK, *WEIGHTS],
    "_law.counts": ["test_count_log_pmf.py"],
    "_engine.potential.mixture": PARTS,
    "_engine.potential.sizes": PARTS,
    "_engine.potential.parts": PARTS,
    "_engine.potential.each_size": [
        "test_each_size.py",
        *POTENTIALS,
        "test_count_log_pmf.py",
        "test_cardinality_derivatives.py",
    ],
    "_call.cardinality_problem": [*WEIGHTS, "test_cardinality_derivatives.py"],
    "_call.placement": ["test_torch_dtensor.py", "test_scale_dask.py"],
    "_call.sharded": ["test_torch_dtensor.py"],
    "_call.prepare": [
        "test_laws.py",
        "test_fast_small_limits.py",
        "test_validation.py",
        "test_torch_dtensor.py",
        *QUICK,
        *WEIGHTS,
        "test_cardinality_derivatives.py",
    ],
    "_call.cardinality": [*WEIGHTS, "test_snapshots.py", "test_validation.py"],
    "_engine.arrays": [*QUICK, "test_tree.py", "test_sampling.py", "test_validation.py", "test_inverse.py"],
    "_engine.indices": ["test_indices.py"],
    "_api.indices": ["test_indices.py", "test_torch_dtensor.py"],
    "_api.sampling": [
        "test_indices.py",
        "test_fast_small_limits.py",
        "test_sample_with_marginals.py",
        "test_sampling.py",
        "test_torch_dtensor.py",
        "test_validation.py",
        "test_battery_values.py",
    ],
    "_law.inverse_map": ["test_solve_jacobian.py", "test_inverse.py"],
    "_law.rescaling": ["test_inverse.py", "test_inverse_derivatives.py"],
    "_call.problem": [
        "test_validation.py",
        *QUICK,
        "test_cardinality.py",
        "test_cardinality_arguments.py",
        "test_cardinality_derivatives.py",
        "test_indices.py",
        "test_masks.py",
        "test_sample_with_marginals.py",
        "test_snapshots.py",
    ],
    "_api.show_config": ["test_capabilities.py", "test_fast_choice.py"],
    "_api.poisson_binomial": ["test_count_log_pmf.py", "test_count_tails.py", "test_validation.py"],
    "_law.tails": ["test_count_tails.py"],
    "_api.quantile": ["test_count_tails.py", "test_torch_dtensor.py"],
    "_api.distribution": [
        "test_snapshots.py",
        "test_validation.py",
        *QUICK,
        "test_cardinality.py",
        "test_masks.py",
        "test_torch_dtensor.py",
    ],
    "_call.masks": ["test_masks.py", "test_masks_forced.py"],
    "_engine.selection": [*QUICK, "test_tilt.py", "test_battery_layouts.py"],
    "_law.support": ["test_snapshots.py"],
    "_api.inverse_map": [
        "test_inverse.py",
        "test_validation.py",
        "test_sampling.py",
        "test_scale_dask.py",
    ],
    "_api.covariance": ["test_validation.py", *QUICK, "test_memory.py", "test_torch_dtensor.py"],
    "_api.marginals": ["test_validation.py", *QUICK, "test_capabilities.py"],
    "_api.uniforms": ["test_sampling.py", "test_torch_dtensor.py", "test_validation.py"],
    "survey._inclusion": ["test_inclusion.py", "test_torch_dtensor.py"],
    "survey._design": ["test_design.py", "test_torch_dtensor.py"],
    "survey._joint": ["test_design.py"],
    "survey._estimate": ["test_estimate.py"],
    "survey._draw": ["test_draw.py"],
    "survey._numbers": ["test_inclusion.py", "test_draw.py", "test_estimate.py", "test_torch_dtensor.py"],
}
SLOW = "not (million or forty or compil or one_row_many or many_rows or resolve_far or every_kind or 350)"
OPTIONS = ["-x", "-q", "-W", "ignore", "-m", "not slow", "-k", SLOW, "-p", "_hypothesis_pytestplugin"]
OPTIONS += ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "--hypothesis-seed=0"]
"""What starts fast: plugins of other packages are not loaded, see `main`."""
TORCH = (
    "_law.derivatives",
    "_law.rescaling",
    "_api.indices",
    "_api.poisson_binomial",
    "_api.sampling",
    "_api.uniforms",
    "_law.tails",
    "_engine.elementary",
    "_engine.potential.each_size",
    "_call.cardinality_problem",
    "_call.placement",
    "_call.prepare",
    "_call.problem",
    "_call.sharded",
    "survey._design",
)


class Replaced(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module of ksubset, whose code is given."""

    def __init__(self, name: str, code: CodeType) -> None:
        self.name, self.code = name, code

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


def fates(module: str, chosen: Iterable[Mutant | None], limit: float, jobs: int) -> Iterator[tuple[Mutant | None, str]]:
    """What the tests say of mutants, a few of them at once: killed, out of time, or survived."""
    waiting, running = list(chosen)[::-1], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_start(module, mutant)] = mutant, time.monotonic() + limit
        for child, (mutant, deadline) in list(running.items()):
            if end := _end(child, deadline):
                del running[child]
                yield mutant, end
        time.sleep(0.02)


def _start(module: str, mutant: Mutant | None) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_trial(module, mutant))
    return child


def _end(child: int, deadline: float) -> str:
    """How a child ended, or nothing while it runs."""
    found, status = os.waitpid(child, os.WNOHANG)
    if found:
        return "survived" if status == 0 else "killed"
    if time.monotonic() < deadline:
        return ""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "out of time"


def _trial(module: str, mutant: Mutant | None) -> int:
    import pytest

    os.setsid()
    if mutant:
        sys.meta_path.insert(0, Replaced(f"ksubset.{module}", mutant.code))
    files = [str(next(HERE.parent.rglob(name))) for name in TESTS[module]]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return int(pytest.main([*OPTIONS, *files]))


def report(module: str, sample: int | None, seed: int, jobs: int) -> list[str]:
    """Try the mutants of a module, or some of them; the survivors that nobody has explained."""
    found = list(mutants((ROOT / "ksubset" / f"{module.replace('.', '/')}.py").read_text()))
    chosen = random.Random(seed).sample(found, min(sample or len(found), len(found)))
    tried = [mutant for mutant in chosen if not _explained(module, mutant)]
    start = time.monotonic()
    if [end for _, end in fates(module, [None], 600, jobs)] != ["survived"]:
        raise SystemExit(f"the tests of {module} fail without a mutant")
    limit = 30 + 4 * (time.monotonic() - start)
    open_cases, ends = _stale(module, found), Counter(explained=len(chosen) - len(tried))
    print("\n".join(open_cases), end="\n" * bool(open_cases))
    for mutant, end in fates(module, tried, limit, jobs):
        ends[end] += 1
        if end == "survived":
            open_cases.append(f"{module}.py:{mutant.line}: {mutant.change}   in   {mutant.text}")
            print(open_cases[-1], flush=True)
    seconds = time.monotonic() - start
    print(f"{module}: {len(chosen)} of {len(found)} mutants, {dict(ends)}, {seconds:.0f} s", flush=True)
    return open_cases


def _explained(module: str, mutant: Mutant) -> bool:
    """Whether an explanation stands ready: tests that noticed the mutant all the same would change no verdict."""
    return not HARMLESS.keys().isdisjoint(_explanations(module, mutant))


def _explanations(module: str, mutant: Mutant) -> set[tuple[str, str, str]]:
    """Where an explanation of a mutant would stand."""
    return {(module, mutant.text, change) for change in (mutant.change, ANY)}


def _stale(module: str, found: list[Mutant]) -> list[str]:
    """Explanations of changes that the module no longer has room for."""
    fitting = {place for mutant in found for place in _explanations(module, mutant)}
    return [
        f"{module}.py: an explanation of no mutant: {change}   in   {text}"
        for name, text, change in HARMLESS
        if name == module and (name, text, change) not in fitting
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)}; all by default")
    parser.add_argument("--sample", type=int, help="try this number of mutants of each module, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many mutants to try at once")
    options = parser.parse_args()
    os.environ |= {"KSUBSET_FAST": "0", "KSUBSET_CASES": os.environ.get("KSUBSET_CASES", "300")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("numpy", "scipy.stats", "hypothesis.strategies", "mpmath", "array_api_compat", "pytest"):
        importlib.import_module(name)
    unexplained = []
    for module in options.modules or TESTS:
        os.environ["KSUBSET_TARGETS"] = "torch-cpu" if module in TORCH else "numpy-cpu"
        if module in TORCH:
            importlib.import_module("torch")
        unexplained += report(module, options.sample, options.seed, options.jobs)
    raise SystemExit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
