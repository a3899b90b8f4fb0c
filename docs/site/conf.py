"""Sphinx settings of the site; `build.py` lays out its sources and calls Sphinx."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

project = "SymSpectra"
author = copyright = "The SymSpectra developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "SymSpectra"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = False
html_math_renderer = "mathml"  # browsers draw it; no script, no network

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # of outputs; the default knows no tables
nb_code_prompt_show = nb_code_prompt_hide = "Code"
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # as they are written: no path of the machine
default_role = "autolink"
suppress_warnings = ["ref.python", "ref.ref"]  # a name of two modules, a label of another project


def mathml(translator, node: nodes.math | nodes.math_block) -> None:
    """Write mathematics as MathML."""
    block = isinstance(node, nodes.math_block)
    translator.body.append(str(tex2mathml(node.astext(), as_block=block)))
    raise nodes.SkipNode


def fields_as_parameters(app, what, name, obj, options, lines: list[str]) -> None:
    """The fields of settings stand in their docstrings without a heading; give them the one that napoleon knows."""
    if what == "class" and name.startswith("symspectra.settings.") and " : " in "".join(lines):
        lines[2:2] = ["Parameters", "----------"]


def setup(app) -> None:
    """Register what is above."""
    app.connect("autodoc-process-docstring", fields_as_parameters, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
