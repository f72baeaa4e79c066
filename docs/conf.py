"""How Sphinx builds the documentation: `make docs`."""

import pkgutil
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx

import caloforge

project = "caloforge"
author = "caloforge developers"
copyright = "caloforge developers"
release = version = caloforge.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"
default_role = "py:obj"
# A name such as Stage stands in several rooms; types in signatures do not say in which.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "caloforge"

MODULES = Path(__file__).parent / "reference" / "modules"


def public_modules() -> list[str]:
    """The names of all modules of the package without a leading underscore, in the order of the
    tree.
    """
    found = pkgutil.walk_packages(caloforge.__path__, "caloforge.")
    return [
        "caloforge",
        *(m.name for m in found if not any(part.startswith("_") for part in m.name.split("."))),
    ]


def page(name: str) -> str:
    """The reference page of one module: what it defines itself; what it takes from others stands
    with them.
    """
    module = import_module(name)
    is_package = "__path__" in vars(module)
    options = ["   :members:", "   :ignore-module-all:"] if is_package else ["   :members:"]
    return "\n".join(
        [
            f"``{name}``",
            "=" * (len(name) + 4),
            "",
            f".. automodule:: {name}",
            *options,
            "   :show-inheritance:",
            "",
        ]
    )


def write_reference(app: Sphinx) -> None:
    """Write a page for each public module, so that the reference never lags behind the code."""
    del app
    MODULES.mkdir(parents=True, exist_ok=True)
    pages = {MODULES / f"{name}.rst": page(name) for name in public_modules()}
    for stale in set(MODULES.glob("*.rst")) - set(pages):
        stale.unlink()
    for path, text in pages.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> None:
    """Connect `write_reference` to the start of the build."""
    app.connect("builder-inited", write_reference)
