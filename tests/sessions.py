"""What the sessions of noxfile.py install, and which tests they run."""

from pathlib import Path

TORCH = "torch==2.13.0"
TEST = ["numpy>=2.1", "pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "mpmath", "scipy"]
MATRIX = {
    "numpy": ([], "numpy-cpu"),
    "strict": (["array-api-strict>=2.6.1"], "strict-device1 strict-no_float64"),
    "torch": ([TORCH, "tqdm>=4.66"], "torch-cpu"),
    "fast": ([TORCH, "numba>=0.63"], "numpy-cpu torch-cpu"),
    "numba": (["numba>=0.63"], "numpy-cpu"),
    "jax": (["jax>=0.10", "numpyro>=0.18", "flax>=0.12.7"], "jax-cpu"),
    "jax-fast": (["jax>=0.10", "numba>=0.63"], "jax-cpu"),
}
PLAIN = "strict-cpu"
"""The tests of ``strict-device1`` without the device: run by ``slow``."""
DOCS = [
    "equinox>=0.13",
    "furo>=2025.7",
    "matplotlib>=3.9",
    "myst-parser>=5",
    "numpydoc>=1.9",
    "pytest>=8",
    "pytest-xdist>=3.6",
    "scipy>=1.15",
    "sphinx>=9",
    "sphinx-copybutton>=0.5.2",
    "sphinx-design>=0.7",
    "sphinx-gallery>=0.19",
    "sphinx-mathjax-offline>=0.0.2",
]
TABLES = ["scikit-learn>=1.6", "pandas>=2.2"]
DASK = ["dask[array]>=2025.1", "distributed>=2025.1", "zarr>=3", "tqdm>=4.66"]
LAUNCHER = ["cuda-core>=1.2", "cuda-bindings>=13.0.3,<14", "nvidia-cuda-nvrtc>=13,<14"]
CUDA = [*LAUNCHER, "cupy-cuda13x>=14", TORCH, *MATRIX["jax-fast"][0]]
GPU = {
    "torch": (["torch>=2.9", *LAUNCHER], "torch-cuda"),
    "jax": (["jax[cuda13]>=0.10", *MATRIX["jax-fast"][0], *LAUNCHER], "jax-cuda"),
    "cupy": (["cupy-cuda13x[ctk]>=14"], "cupy-cuda"),
}
EVERYTHING = sorted({r for requirements, _ in MATRIX.values() for r in requirements} | set(CUDA))

CORE = ("api", "law", "engine", "potential", "battery", "survey")
"""Folders of tests that concern every backend; each backend's own tests are in a folder of its own."""

NUMBERS = ("accuracy", "battery_*", "inverse*", "count_*", "engines", "parts")
COMPILED = (
    *("capabilities", "cardinality*", "compile", "contour", "design", "estimate", "grad", "inclusion", "indices"),
    *("jax_settings", "jvp", "masks*", "numpyro*", "sample_with*", "second_order", "selfcheck", "values", "vmap"),
)
"""Files that keep XLA's compiler busy for a minute or more."""


def files(*names: str, within: str = ".") -> list[str]:
    """Test files by the patterns of their names."""
    return sorted(str(file) for name in names for file in Path("tests", within).rglob(f"test_{name}.py"))


ENGINE = files("*", within="engine")
LATER = {
    "strict": files(*NUMBERS),
    "torch": files("inverse*", "count_*", "parts", "opaque"),
    "fast": files("compile*", "experiments*", "second_order", "significance", "snapshots", "gradcheck", *NUMBERS)
    + ENGINE,
    "jax": files(*NUMBERS, *COMPILED) + [file for file in ENGINE if file not in files("sampling")],
    "jax-fast": files("estimators"),
    "minimums": files(*NUMBERS),
}
"""Ordinary tests whose numbers other backends show as well, or that keep XLA's compiler busy: run by ``slow``."""

EVERY = [file for folder in CORE for file in files("*", within=folder)]
WHOLE = [file for file in files("*") if file not in files("*", within="backends/scale")]
FILES = {
    "strict": EVERY,
    "torch": WHOLE,
    "fast": WHOLE,
    "numba": sorted({*files(*NUMBERS), *ENGINE}),
    "minimums": WHOLE,
    "jax": EVERY + files("*", within="backends/jax") + files("*", within="backends/flax"),
    "jax-fast": files("jax_fast*", "fast_failures", "grad", "estimators_losses", "estimators_aimle"),
}
GROUP = {"jax": 6, "jax-fast": 7}
"""Files to a process: JAX keeps what it compiled, until one process may map no more memory."""
CUDA_TESTS = files("cuda_*")
