"""How the documentation site is built: `make docs`, with warnings as errors.

The pages are also read on the repository's own site, whose way of writing mathematics is turned
into Sphinx's here.  Formulas become MathML; a built page asks no other machine for anything.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import pixelbayes
from pixelbayes.cli.main import COMMANDS, program

project = "pixelbayes"
author = "The pixelbayes authors"
copyright = author  # noqa: A001  the name that Sphinx reads
release = version = pixelbayes.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
nitpicky = False
suppress_warnings = ["myst.header"]  # tables of benchmarks begin below a title of their own
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
add_module_names = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

smartquotes_action = "qe"  # dashes of options stay as they are
html_theme = "furo"
html_title = "pixelbayes"
html_math_renderer = "mathml"
html_show_sphinx = False
html_static_path: list[str] = []


def in_sphinx_words(_: Any, __: str, source: list[str]) -> None:
    """Turns the repository's mathematics, $`x`$ and ```math, into that of MyST."""
    text = re.sub(r"\$`(.+?)`\$", r"$\1$", source[0], flags=re.DOTALL)
    source[0] = re.sub(r"^```math$", "```{math}", text, flags=re.MULTILINE)


def with_commands(_: Any, page: str, source: list[str]) -> None:
    """Puts the help of every command below the page about them."""
    if page == "commands":
        texts = (
            program(name)[name].generate_docs(output_format="markdown", heading_level=2)
            for name in COMMANDS
        )
        source[0] += "\n".join(texts)


def plain_marks(_: Any, __: str, ___: str, ____: Any, _____: Any, lines: list[str]) -> None:
    """Keeps the bars and stars of formulas in docstrings from being read as markup."""
    lines[:] = [
        line
        if line.lstrip().startswith((">>>", "...", ":", ".. "))
        else re.sub(r"(?<![\\*`:])([|*])(?![*])", r"\\\1", line)
        for line in lines
    ]


def stretchy(tex: str) -> str:
    r"""Without \big and \Big: brackets of MathML grow by themselves."""
    return re.sub(r"\\[bB]ig+(?![a-zA-Z])", "", tex)


def inline_math(self: Any, node: nodes.math) -> None:
    """Writes a formula within a sentence."""
    self.body.append(tex2mathml(stretchy(node.astext())))
    raise nodes.SkipNode


def display_math(self: Any, node: nodes.math_block) -> None:
    """Writes a formula in a line of its own."""
    self.body.append(
        f'<div class="math">{tex2mathml(stretchy(node.astext()), as_block=True)}</div>'
    )
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Sphinx's hook."""
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.connect("source-read", in_sphinx_words)
    app.connect("source-read", with_commands)
    app.connect("autodoc-process-docstring", plain_marks, priority=900)
