"""Nox sessions: `nox` checks the code and runs the CPU matrix; `nox -s demo` runs the main job; `nox -l` lists all."""

import random
import shutil
import sys
import tempfile
from pathlib import Path

import nox

sys.path.append(str(Path(__file__).parent / "tests"))
from sessions import (
    CUDA,
    CUDA_TESTS,
    DASK,
    DOCS,
    EVERY,
    EVERYTHING,
    FILES,
    GPU,
    GROUP,
    LATER,
    MATRIX,
    PLAIN,
    TABLES,
    TEST,
    TORCH,
    files,
)

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.tags = ["cpu"]

TWO = ("-n", "2", "--dist", "worksteal")
HASTY = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
"""XLA compiles what runs once in a third of the time; ``slow`` runs the same tests on the code that users get."""

ORDINARY = ("pytest", "-m", "not slow", "--ignore=tests/backends/scale")

EXPERIMENTS = ("synthetic", "sparse_regression", "sparse_vae", "explain")


ROOM = 4 * 2**30
"""Bytes that an environment may take, with what pip unpacks on its way."""


def make_room(session: nox.Session) -> None:
    """Where the disk is nearly full, remove the environments of other sessions: they are made again when needed."""
    if not session.virtualenv.is_sandboxed:
        return
    own = Path(session.virtualenv.location).resolve()
    if shutil.disk_usage(own).free < ROOM:
        for other in own.parent.iterdir():
            if other != own and (other / "pyvenv.cfg").exists():
                shutil.rmtree(other)


def install(session: nox.Session, *what: str) -> None:
    """The project in place, and more; modules are compiled when imported, and kept, which halves the time."""
    make_room(session)
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.install("--no-compile", "-e", *what)


def groups(chosen: list[str], size: int | None) -> list[list[str]]:
    """Files in groups of a size, or in one group."""
    if size is None:
        return [chosen]
    return [chosen[first : first + size] for first in range(0, len(chosen), size)]


def usual(name: str) -> list[str]:
    """The files that a session runs by default, none if it runs all."""
    return [file for file in FILES.get(name, []) if file not in LATER.get(name, [])]


@nox.session(tags=["cpu"])
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install("ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(tags=["cpu"])
def types(session: nox.Session) -> None:
    """Strict static types, the adapters included, and what a user's script is told by two checkers."""
    checkers = "mypy>=1.16", "pyright[nodejs]>=1.1.400"
    install(session, ".", *checkers, "numpy>=2.1", TORCH, *MATRIX["jax"][0])
    session.run("mypy", "-p", "ksubset")
    session.run("mypy", "--strict", "tests/support/user_script.py")
    session.run("pyright", "tests/support/user_script.py")


@nox.session(tags=["cpu"])
@nox.parametrize("backend", [nox.param(name, id=name) for name in MATRIX])
def tests(session: nox.Session, backend: str) -> None:
    """The matrix, one framework to an environment, which proves that no other is needed."""
    requirements, targets = MATRIX[backend]
    install(session, ".", *TEST, *requirements)
    env = {"KSUBSET_TARGETS": targets, **HASTY}
    if session.posargs:
        session.run(*ORDINARY, *session.posargs, env=env)
        return
    for group in groups(usual(backend), GROUP.get(backend)):
        session.run(*ORDINARY, *TWO, *group, env=env)


@nox.session(tags=["cpu"])
def cuda(session: nox.Session) -> None:
    """The CUDA kernels without a GPU: compiled for every architecture, run by an emulator for CuPy, torch and JAX."""
    install(session, ".", *TEST, *CUDA)
    session.run(*ORDINARY, *TWO, *CUDA_TESTS, *session.posargs)


@nox.session(tags=["cpu"])
def tables(session: nox.Session) -> None:
    """The selector for scikit-learn, its comparison with others, and samples of pandas' tables."""
    install(session, ".[sklearn]", *TEST, *TABLES, "tqdm>=4.66")
    chosen = ["tests/backends/sklearn", "tests/site/test_experiments_features.py", "tests/survey/test_draw.py"]
    session.run("pytest", *TWO, *chosen, *session.posargs, env={"KSUBSET_TARGETS": "numpy-cpu"})


@nox.session(tags=["cpu"])
def minimums(session: nox.Session) -> None:
    """The oldest supported run-time dependencies."""
    install(session, ".", "array-api-compat==1.12.0", "numpy==2.1.0", *TEST[1:])
    session.run(*ORDINARY, *TWO, *session.posargs or usual("minimums"), env={"KSUBSET_TARGETS": "numpy-cpu"})


@nox.session(tags=["cpu"])
def doctest(session: nox.Session) -> None:
    """Every example in the documentation, as printed."""
    install(session, ".", "numpy>=2.1", TORCH, "pytest>=8")
    session.run("pytest", "--doctest-modules", "ksubset", "--ignore=ksubset/backends")
    session.run("pytest", "--doctest-glob=*.md", "README.md")


@nox.session(tags=["cpu"])
def docs(session: nox.Session) -> None:
    """The site, in docs/_build/html, without a warning; its examples run; ``-- linkcheck`` follows links abroad too."""
    install(session, ".[jax,numpyro,flax,sklearn]", TORCH, *DOCS, *DASK, *TABLES)
    environment = {"OMP_NUM_THREADS": "1", **HASTY}
    session.run("sphinx-build", "-nWq", "--keep-going", "docs", "docs/_build/html", env=environment)
    session.run("pytest", *TWO, "docs/test_site.py", env=environment)
    if "linkcheck" in session.posargs:
        session.run("sphinx-build", "-q", "-b", "linkcheck", "docs", "docs/_build/linkcheck", env=environment)


@nox.session(tags=["cpu"])
def build(session: nox.Session) -> None:
    """The wheel and the sdist, each with valid metadata, installed and tried from an empty folder."""
    session.install("build>=1.2", "twine>=6.1")
    tests_folder = Path("tests").resolve()
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", f"{folder}/dist")
        session.run("twine", "check", "--strict", *map(str, sorted(Path(folder, "dist").iterdir())))
        for artefact in sorted(Path(folder, "dist").iterdir()):
            session.install("--force-reinstall", str(artefact), "numpy>=2.1", "pytest>=8")
            with session.chdir(folder):
                session.run("pytest", str(tests_folder / "api" / "test_installed.py"), "-p", "no:cacheprovider")


@nox.session(default=False, python=["3.11", "3.12", "3.13"])
def interpreters(session: nox.Session) -> None:
    """The wheel on every supported Python that is installed here; an absent one is skipped, and an error in CI."""
    session.install("build>=1.2")
    tests_folder = Path("tests").resolve()
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--wheel", "--outdir", folder)
        session.install("--force-reinstall", *map(str, Path(folder).glob("*.whl")), "numpy>=2.1", "pytest>=8")
        with session.chdir(folder):
            session.run("pytest", str(tests_folder / "api" / "test_installed.py"), "-p", "no:cacheprovider")
            session.run("python", "-m", "ksubset")


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """The main job: learn which 10 of 64 pixels tell handwritten digits apart."""
    frameworks = [r for name, (rs, _) in MATRIX.items() for r in rs if name in session.posargs]
    install(session, ".[sklearn]", "matplotlib>=3.9", "tqdm>=4.66", *frameworks)
    session.run("python", "docs/experiments/select_pixels.py", *session.posargs)


@nox.session(default=False)
def features(session: nox.Session) -> None:
    """The selector of features beside scikit-learn's own, on its bundled data; writes the table of the page."""
    install(session, ".[sklearn]", "tqdm>=4.66")
    session.run("python", "docs/experiments/select_features.py", *session.posargs)


@nox.session(default=False)
def clients(session: nox.Session) -> None:
    """Three layers that choose, trained with the library and with a dynamic programme; writes the table of the page."""
    install(session, ".[fast]", TORCH, "transformers>=5", "tqdm>=4.66")
    session.run("python", "docs/experiments/clients.py", *session.posargs)


@nox.session(default=False)
def experiments(session: nox.Session) -> None:
    """The paper's comparisons on real data, for hours; with ``-- --quick`` minutes. See docs/experiments/paper.md."""
    install(session, ".[fast]", TORCH, "matplotlib>=3.9", "tqdm>=4.66", "scipy>=1.13", "pysindy>=2")
    for name in EXPERIMENTS:
        session.run("python", f"docs/experiments/{name}.py", *session.posargs)


@nox.session(default=False)
@nox.parametrize("backend", [nox.param(name, id=name) for name in [*MATRIX, "cuda"] if name != "numba"])
def slow(session: nox.Session, backend: str) -> None:
    """The tests that take minutes; for ``cuda``, mutants of the kernels."""
    requirements, targets = MATRIX.get(backend, (CUDA, ""))
    chosen = CUDA_TESTS if backend == "cuda" else []
    install(session, ".", *TEST, *requirements)
    session.run("pytest", "-m", "slow", *chosen, *session.posargs, env={"KSUBSET_TARGETS": targets})
    again = {*LATER.get(backend, []), *(FILES[backend] if backend in GROUP else [])}
    if backend == "strict":
        session.run(*ORDINARY, *TWO, *EVERY, env={"KSUBSET_TARGETS": PLAIN})
    if again:
        for group in groups(sorted(again), GROUP.get(backend)):
            session.run(*ORDINARY, *TWO, *group, env={"KSUBSET_TARGETS": targets})


@nox.session(default=False)
def nightly(session: nox.Session) -> None:
    """The battery in full: over 100,000 generated cases, others each time; a seed after the dashes repeats a run."""
    install(session, ".", *TEST, *EVERYTHING)
    seed = session.posargs[0] if session.posargs else str(random.randrange(2**32))
    battery = files("battery_*")
    runs = [
        ("numpy-cpu", "0", 50_000),
        ("numpy-cpu", "1", 25_000),
        ("torch-cpu", "0", 35_000),
        ("torch-cpu", "1", 10_000),
    ]
    for targets, fast, cases in [*runs, ("strict-cpu", "0", 50_000), ("jax-cpu", "1", 10_000)]:
        session.log(f"{targets}, KSUBSET_FAST={fast}, seed {seed}")
        env = {"KSUBSET_TARGETS": targets, "KSUBSET_FAST": fast, "KSUBSET_CASES": str(cases)}
        session.run("pytest", f"--hypothesis-seed={seed}", *battery, env=env)


@nox.session(default=False)
def programs(session: nox.Session) -> None:
    """Functions under random transformations, 1000 in torch and in JAX; a seed after the dashes repeats them."""
    install(session, ".", *TEST, *EVERYTHING)
    seed = session.posargs[0] if session.posargs else str(random.randrange(2**32))
    for target in ("torch", "jax"):
        session.run("python", "tests/support/run_programs.py", "--target", target, "--programs", "1000", "--seed", seed)


@nox.session(default=False)
def scale(session: nox.Session) -> None:
    """Devices of JAX, processes of torch, clusters of Dask: a batch in parts gives what it gives in one place."""
    install(session, ".", *TEST, *MATRIX["jax-fast"][0], TORCH, *DASK)
    session.run("pytest", "tests/backends/scale", *session.posargs)


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Mutants of the core, each of which a test must notice or tests/mutation/survivors.py explain; takes hours."""
    install(session, ".", *TEST, *EVERYTHING, *DASK, *TABLES)
    session.run("python", "tests/mutation/run.py", *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Branch coverage of all CPU targets together, 97 % of it at the least."""
    install(session, ".", *TEST, *EVERYTHING, *DASK, *TABLES, "coverage>=7.10")
    runs = [
        ("numpy-cpu strict-no_float64 torch-cpu", "0", ["tests"]),
        ("numpy-cpu torch-cpu", "1", ["tests", "--ignore=tests/backends/scale"]),
    ]
    runs += [("jax-cpu", "1", group) for group in groups(FILES["jax"] + FILES["jax-fast"], GROUP["jax"])]
    session.run("coverage", "erase")
    with tempfile.TemporaryDirectory() as cache:  # an empty one: the Python code that emits kernels is seen to run
        for targets, fast, chosen in [*runs, ("", "1", CUDA_TESTS)]:
            env = {"KSUBSET_TARGETS": targets, "KSUBSET_FAST": fast, "KSUBSET_CASES": "200", "NUMBA_CACHE_DIR": cache}
            pytest = ("run", "--parallel-mode", "-m", "pytest", "-q", "-m", "not slow", *TWO, *chosen)
            session.run("coverage", *pytest, env=env | HASTY, success_codes=[0, 5])
    session.run("coverage", "combine")
    session.run("coverage", "report", "--fail-under=97")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Speed as ratios: the core, scalars, and the fast path, which takes what follows the dashes; docs/benchmark.md."""
    install(session, ".[fast]", TORCH, "matplotlib>=3.9", *MATRIX["jax"][0])
    session.run("python", "tests/benchmarks/core.py", env={"OMP_NUM_THREADS": "1"})
    session.run("python", "tests/benchmarks/scalars.py")
    session.run("python", "tests/benchmarks/run.py", *session.posargs)


@nox.session(default=False)
def goals(session: nox.Session) -> None:
    """Each goal for what stands beside the kernels, whether it is reached, where the time goes; writes its page."""
    install(session, ".[fast]", TORCH, *MATRIX["jax"][0], "fast-poibin", "scipy>=1.15")
    for program in ("goals", "profiles"):
        session.run("python", f"tests/benchmarks/{program}.py", "--page", "docs/benchmark_goals.md", *session.posargs)


@nox.session(tags=["gpu"], default=False)
@nox.parametrize("backend", [nox.param(name, id=name) for name in GPU])
def gpu(session: nox.Session, backend: str) -> None:
    """The matrix on a CUDA device; a target whose device is absent fails."""
    requirements, targets = GPU[backend]
    install(session, ".", *TEST, *requirements)
    session.run("pytest", "-m", "not slow", *session.posargs, env={"KSUBSET_TARGETS": targets})
