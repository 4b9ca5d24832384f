"""The documentation site; `nox -s docs` builds it."""

import sys
from pathlib import Path

import ksubset

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support")]

import capabilities  # noqa: E402  (found on the path that was just extended)

project, author, copyright = "ksubset", "The ksubset developers", "2026, the ksubset developers"
version = release = ksubset.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",  # formulas without a network
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "gallery/*.py", "gallery/*.ipynb"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(numpy|torch|jax|cupy|numpyro)\..*")]  # their own sites are not asked
suppress_warnings = ["config.cache"]  # substitutions

myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath", "substitution", "attrs_inline"]
myst_heading_anchors = 3
myst_substitutions = {
    "functions": capabilities.functions_table(),
    "features": capabilities.features_table(),
    "reasons": capabilities.reasons(),
}

default_role = "py:obj"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. |\$ ", True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "write_computation_times": False,
    "show_signature": False,
    "capture_repr": (),
    "image_srcset": ["2x"],
    "min_reported_time": float("inf"),
    "abort_on_example_error": True,
}

html_theme = "furo"
html_title = f"ksubset {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = html_copy_source = False
pygments_dark_style = "github-dark"
html_theme_options = {"navigation_with_keys": True}
