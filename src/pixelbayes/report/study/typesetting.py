"""A table as Markdown, HTML or LaTeX (booktabs), with its notes, command and commit under it."""

import re
from collections.abc import Callable
from html import escape as escape_html

from pixelbayes.report.markdown import escape as escape_markdown
from pixelbayes.report.study.measures import Cell
from pixelbayes.report.study.table import Row, Table

__all__ = ["escape_latex", "html_table", "latex_table", "markdown_table", "signature"]

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line break, a bracket would be read as its length
    "]": "{]}",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "·": r"\textperiodcentered{}",
}


def markdown_table(table: Table) -> str:
    """Renders a table as GitHub-flavoured Markdown, without its title.

    The interval stands in the cell; a seed is indented by an arrow, a reference in italics.
    """

    def line(row: Row) -> str:
        cells = [_in_line(cell, escape_markdown) for cell in row.cells]
        label = escape_markdown(row.label)
        if row.kind == "seed":
            label = f"↳ {label}"
        elif row.kind == "reference":
            label, *cells = (f"*{text}*" if text != "-" else text for text in (label, *cells))
        else:
            label = f"**{label}**"
        return f"| {' | '.join((label, *cells))} |"

    names = (_header(cell, escape_markdown) for cell in table.header)
    header = f"| {' | '.join(names)} |"
    rule = f"|{' --- |' * len(table.header)}"
    notes = "\n".join(f"* {escape_markdown(note)}" for note in table.notes)
    parts = ["\n".join((header, rule, *(line(row) for row in table.rows))), notes]
    return "\n\n".join((*parts, signature(table.command, table.source))) + "\n"


def html_table(table: Table) -> str:
    """Renders a table as an HTML section with its title, for `elements.document`."""
    top = "".join(f'<th scope="col">{_stacked(cell)}</th>' for cell in table.header)
    body = "".join(
        f'<tr class="{row.kind}"><th scope="row">{escape_html(row.label)}</th>'
        + "".join(f"<td>{_stacked(cell)}</td>" for cell in row.cells)
        + "</tr>"
        for row in table.rows
    )
    notes = "".join(f"<li>{escape_html(note)}</li>" for note in table.notes)
    command = f"<code>{escape_html(table.command)}</code>" if table.command else ""
    source = " · ".join(filter(None, (command, escape_html(table.source))))
    return (
        f'<section id="{escape_html(table.stem)}"><h2>{escape_html(table.title)}</h2>'
        f'<div class="scroll"><table class="study"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<ul class="notes">{notes}</ul><p class="quiet source">{source}</p></section>'
    )


def latex_table(table: Table) -> str:
    """Renders a table as a LaTeX float; needs the packages booktabs and graphicx.

    Intervals stand below their values, which halves the width that is to fit the page.
    """
    title = re.sub(r"^Table \d+\. ", "", table.title)  # LaTeX counts by itself
    columns = "l" + "r" * (len(table.header) - 1)
    header = " & ".join(
        _latex_stack("b", *cell.value.split(", "), f"({cell.detail})" if cell.detail else "")
        for cell in table.header
    )
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        rf"  \caption{{{escape_latex(title)}.}}",
        rf"  \label{{tab:{table.stem}}}",
        rf"  \resizebox{{\linewidth}}{{!}}{{\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"    \toprule",
        rf"    {header} \\",
        r"    \midrule",
        *(rf"    {_latex_line(row)} \\" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}}",
        r"  \par\smallskip\raggedright\footnotesize",
        *(f"  {escape_latex(note)}" for note in table.notes),
        *([rf"  \texttt{{{escape_latex(table.command)}}}."] if table.command else []),
        *([f"  {escape_latex(table.source)}."] if table.source else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def signature(command: str, source: str) -> str:
    """Command, commit and machine as one line of Markdown, under a table or a figure."""
    code = f"`{command.replace('`', '')}`" if command else ""
    return " · ".join(filter(None, (code, escape_markdown(source))))


def escape_latex(text: str) -> str:
    r"""Keeps a text from being read as LaTeX.

    >>> print(escape_latex("-50 % of a_b [±1]"))
    $-$50 \% of a\_b {[}$\pm$1{]}
    """
    escaped = "".join(LATEX.get(character, character) for character in text)
    escaped = escaped.replace("--", "-{}-")  # two would become a dash
    return re.sub(r"(?<![\w)])-(?=\d)", "$-$", escaped)


def _latex_line(row: Row) -> str:
    cells = [_latex_stack("t", cell.value, cell.detail, cell.remark) for cell in row.cells]
    label = escape_latex(row.label)
    if row.kind == "seed":
        label = rf"\quad {label}"
    elif row.kind == "reference":
        label, *cells = (rf"\textit{{{text}}}" for text in (label, *cells))
    return " & ".join((label, *cells))


def _latex_stack(position: str, *parts: str) -> str:
    """Parts under each other, empty ones left out; the top or bottom one is on the row's line."""
    lines = [escape_latex(part) for part in parts if part]
    stacked = r" \\ ".join(lines)
    if len(lines) < 2:
        return stacked
    return rf"\begin{{tabular}}[{position}]{{@{{}}r@{{}}}}{stacked}\end{{tabular}}"


def _header(cell: Cell, escape: Callable[[str], str]) -> str:
    return escape(f"{cell.value} ({cell.detail})" if cell.detail else cell.value)


def _in_line(cell: Cell, escape: Callable[[str], str]) -> str:
    return escape(" ".join(filter(None, (cell.value, cell.detail, cell.remark))))


def _stacked(cell: Cell) -> str:
    small = (
        f'<br><span class="quiet">{escape_html(x)}</span>' for x in (cell.detail, cell.remark) if x
    )
    return f"{escape_html(cell.value)}{''.join(small)}"
