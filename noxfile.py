"""Nox sessions: `nox` checks the code and runs the CPU matrix; `nox -s demo` runs the main job; `nox -l` lists all."""

import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.tags = ["cpu"]

TORCH = "torch==2.13.0"
TEST = ["numpy>=2.1", "pytest>=8", "hypothesis>=6.100", "mpmath", "scipy"]
MATRIX = {
    "numpy": ([], "numpy-cpu"),
    "strict": (["array-api-strict>=2.6.1"], "strict-cpu strict-device1 strict-no_float64"),
    "torch": ([TORCH], "torch-cpu"),
    "fast": ([TORCH, "numba>=0.63"], "numpy-cpu torch-cpu"),
    "jax": (["jax>=0.10", "numpyro>=0.18"], "jax-cpu"),
    "jax-fast": (["jax>=0.10", "numba>=0.63"], "jax-cpu"),
}
OTHERS = tuple(
    f"test_{name}"
    for name in ("cuda", "fast", "torch", "estimators", "benchmarks", "gpu", "jax_fast", "cardinality_derivatives")
)
"""Files that concern other backends, or that a session of their own runs."""

FILES = {
    "jax": [str(f) for f in sorted(Path("tests").glob("test_*.py")) if not f.name.startswith(OTHERS)],
    "jax-fast": [
        f"tests/test_{name}.py"
        for name in ("jax_fast", "jax_fast_samples", "grad", "estimators_losses", "estimators_aimle")
    ],
}
"""Run one by one: JAX keeps every program it compiled, until one process may map no more memory."""

CUDA = ["nvidia-cuda-nvrtc", "cupy-cuda13x>=14", TORCH]
CUDA_TESTS = sorted(map(str, Path("tests").glob("test_cuda_*.py")))
GPU = {
    "torch": (["torch>=2.9"], "torch-cuda"),
    "jax": (["jax[cuda13]>=0.10"], "jax-cuda"),
    "cupy": (["cupy-cuda13x[ctk]>=14"], "cupy-cuda"),
}


@nox.session(tags=["cpu"])
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install("ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(tags=["cpu"])
def types(session: nox.Session) -> None:
    """Strict static types, the adapters included."""
    session.install("mypy>=1.16", "numpy>=2.1", TORCH, "jax>=0.10", "numpyro>=0.18", "array-api-compat>=1.12")
    session.run("mypy", "-p", "ksubset")


@nox.session(tags=["cpu"])
@nox.parametrize("backend", [nox.param(name, id=name) for name in MATRIX])
def tests(session: nox.Session, backend: str) -> None:
    """The matrix, one framework to an environment, which proves that no other is needed."""
    requirements, targets = MATRIX[backend]
    session.install("-e", ".", *TEST, *requirements)
    for file in [""] if session.posargs else FILES.get(backend, [""]):
        command = ["pytest", "-m", "not slow", *([file] if file else []), *session.posargs]
        session.run(*command, env={"KSUBSET_TARGETS": targets}, success_codes=[0, 5] if file else [0])


@nox.session(tags=["cpu"])
def cuda(session: nox.Session) -> None:
    """The CUDA kernels without a GPU: compiled for every architecture, run by an emulator for NumPy, CuPy and torch."""
    session.install("-e", ".", *TEST, *CUDA)
    session.run("pytest", "-m", "not slow", *CUDA_TESTS, *session.posargs)


@nox.session(tags=["cpu"])
def minimums(session: nox.Session) -> None:
    """The oldest supported run-time dependencies."""
    session.install("-e", ".", "array-api-compat==1.12.0", "numpy==2.1.0", "pytest>=8", "hypothesis", "mpmath", "scipy")
    session.run("pytest", "-m", "not slow", *session.posargs, env={"KSUBSET_TARGETS": "numpy-cpu"})


@nox.session(tags=["cpu"])
def doctest(session: nox.Session) -> None:
    """Every example in the documentation, as printed."""
    session.install("-e", ".", "numpy>=2.1", "pytest>=8")
    session.run("pytest", "--doctest-modules", "ksubset", "--ignore=ksubset/backends")
    session.run("pytest", "--doctest-glob=*.md", "README.md", "docs/howto/cardinality.md")


@nox.session(tags=["cpu"])
def build(session: nox.Session) -> None:
    """The wheel and the sdist, each installed and tried from an empty folder."""
    session.install("build>=1.2")
    tests_folder = Path("tests").resolve()
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", f"{folder}/dist")
        for artefact in sorted(Path(folder, "dist").iterdir()):
            session.install("--force-reinstall", str(artefact), "numpy>=2.1", "pytest>=8")
            with session.chdir(folder):
                session.run("pytest", str(tests_folder / "test_installed.py"), "-p", "no:cacheprovider")


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """The main job: learn which 10 of 64 pixels tell handwritten digits apart."""
    frameworks = [r for name, (rs, _) in MATRIX.items() for r in rs if name in session.posargs]
    session.install("-e", ".[numpy]", "scikit-learn>=1.5", "matplotlib>=3.9", "tqdm>=4.66", *frameworks)
    session.run("python", "docs/experiments/select_pixels.py", *session.posargs)


@nox.session(default=False)
@nox.parametrize("backend", [nox.param(name, id=name) for name in [*MATRIX, "cuda"]])
def slow(session: nox.Session, backend: str) -> None:
    """The tests that take minutes; for ``cuda``, mutants of the kernels."""
    requirements, targets = MATRIX.get(backend, (CUDA, ""))
    files = CUDA_TESTS if backend == "cuda" else []
    session.install("-e", ".", *TEST, *requirements)
    session.run("pytest", "-m", "slow", *files, *session.posargs, env={"KSUBSET_TARGETS": targets})
    if backend == "jax":  # minutes of XLA's compiler
        file = "tests/test_cardinality_derivatives.py"
        session.run("pytest", "-m", "not slow", file, env={"KSUBSET_TARGETS": targets})
    if backend == "jax-fast":  # two minutes of XLA's compiler
        session.run("pytest", "-m", "not slow", "tests/test_estimators.py", env={"KSUBSET_TARGETS": targets})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Speed as ratios: the core, then the fast path, which takes what follows the dashes; see docs/benchmark.md."""
    session.install("-e", ".[fast]", TORCH, "matplotlib>=3.9")
    session.run("python", "tests/benchmarks/core.py", env={"OMP_NUM_THREADS": "1"})
    session.run("python", "tests/benchmarks/run.py", *session.posargs)


@nox.session(tags=["gpu"], default=False)
@nox.parametrize("backend", [nox.param(name, id=name) for name in GPU])
def gpu(session: nox.Session, backend: str) -> None:
    """The matrix on a CUDA device; a target whose device is absent fails."""
    requirements, targets = GPU[backend]
    session.install("-e", ".", *TEST, *requirements)
    session.run("pytest", "-m", "not slow", *session.posargs, env={"KSUBSET_TARGETS": targets})
