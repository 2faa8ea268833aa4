"""A report page as Markdown, and its tables as LaTeX. Owns the escaping of both: no text of a run is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from hpc_sweep import terminal_words as words
from hpc_sweep.job import Table
from hpc_sweep.report_page import (
    Block,
    Facts,
    Fold,
    Page,
    Picture,
    Shares,
    Words,
    aligned,
    cell,
    note_lines,
    split_mark,
    to_the_right,
)

_MARKDOWN = re.compile(r"([\\`*_\[\]|~$#])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{\char34}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "–": "--", "—": "---", "…": r"\ldots{}", "·": r"$\cdot$",
}  # fmt: skip
_LATEX_HEAD = """\
% The tables of sweep {name}. In a document: \\usepackage{{booktabs,textcomp}} and \\input{{report.tex}}
"""


# Markdown


def markdown(page: Page) -> str:
    """The whole page."""
    parts = [_heading(page.title, 1), *(_block(block, 2) for block in page.lead)]
    for section in page.sections:
        parts += [_heading(section.title, 2), *(_block(block, 3) for block in section.blocks)]
    return _joined(parts) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    escaped = _MARKDOWN.sub(r"\\\1", words.one_line(text))
    return "".join(_ENTITIES.get(c, c) for c in escaped)


def _block(block: Block, level: int) -> str:
    if isinstance(block, Words):
        return "\n\n".join(_paragraph(sentence) for sentence in block.sentences)
    if isinstance(block, Facts):
        return "\n".join(f"- **{plain(name)}**: {plain(text)}" for name, text in block.rows)
    if isinstance(block, Shares):
        return " · ".join(f"{count:,} {plain(name)}" for name, count in block.counts)
    if isinstance(block, Table):
        return _table(block, level)
    if isinstance(block, Picture):
        image = f"![{plain(block.title)}]({block.file})"
        return _joined([_heading(block.title, level), image, plain(block.note)])
    return _joined([_heading(block.title, level), *(_block(b, level + 1) for b in block.blocks)])


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def _heading(title: str, level: int) -> str:
    return f"{'#' * level} {plain(title)}" if title else ""


def _paragraph(text: str) -> str:
    """A sentence that cannot be taken for a list, a quotation or a heading."""
    return re.sub(r"^(\d{0,9})([-+=.)])", r"\1\\\2", plain(text))


def _table(table: Table, level: int) -> str:
    right = to_the_right(table)
    first = plain(cell(table.columns[0]))
    corner = f"{first} ↓ {plain(table.across)} →".strip() if table.across else first
    rows = [[corner, *(cell(c) for c in table.columns[1:])], *([cell(c) for c in row] for row in table.rows)]
    columns = [_column(texts, r) for texts, r in zip(zip(*rows, strict=True), right, strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in zip(*columns, strict=True)]
    notes = [f"{plain(mark)} {plain(text)}".strip() for mark, text in note_lines(table)]
    return _joined([_heading(table.title, level), "\n".join(lines), "  \n".join(notes)])


def _column(texts: Sequence[str], to_right: bool) -> list[str]:
    """A column with its rule below the heading, all equally wide, so that the source reads well too."""
    head, *body = aligned(["   ", *map(plain, texts)], to_right)[1:]
    rule = "-" * (cell_len(head) - to_right) + ":" * to_right
    return [head, rule, *body]


# LaTeX


def latex(page: Page) -> str:
    """The tables of what was found, in the order of the page."""
    tables = [_latex_table(t) for section in page.sections if section.findings for t in _tables(section.blocks)]
    return "\n".join([_LATEX_HEAD.format(name=tex(page.title)), *tables])


def tex(text: str) -> str:
    """Text that LaTeX sets as it is; signs that it has no letter for become a question mark."""
    text = words.one_line(text)
    escaped = "".join(_LATEX.get(c) or (c if c.isascii() or c.isalpha() else _nearest(c)) for c in text)
    return escaped if "--" not in text else escaped.replace("--", "-{}-")


def _nearest(character: str) -> str:
    return "".join(_LATEX.get(c, c) for c in words.ascii_only(character))


def _tables(blocks: Iterable[Block]) -> Iterable[Table]:
    for block in blocks:
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Fold):
            yield from _tables(block.blocks)


def _latex_table(table: Table) -> str:
    columns = "".join("r" if right else "l" for right in to_the_right(table))
    heads = [_latex_cell(cell(c)) for c in table.columns]
    rows = [[_latex_cell(cell(c)) for c in row] for row in table.rows]
    over = []
    if table.across and len(heads) > 1:
        over = [
            f"& \\multicolumn{{{len(heads) - 1}}}{{c}}{{{tex(table.across)}}} \\\\",
            f"\\cmidrule{{2-{len(heads)}}}",
        ]
    caption = [f"\\caption{{{tex(table.title)}}}"] if table.title else []
    notes = [f"\\\\[2pt] {{\\footnotesize {_latex_mark(mark)}{tex(text)}}}" for mark, text in note_lines(table)]
    lines = [
        "\\begin{table}[htbp]", "\\centering", *caption, f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule", *over, " & ".join(heads) + r" \\", "\\midrule", *(" & ".join(row) + r" \\" for row in rows),
        "\\bottomrule", "\\end{tabular}", *notes, "\\end{table}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _latex_cell(text: str) -> str:
    """A cell; what could be an argument of the line's end before it is kept apart from that."""
    unmarked, mark = split_mark(text)
    apart = "{}" if unmarked.startswith(("[", "*")) else ""
    hanging = f"\\rlap{{{_latex_mark(mark)}}}" if mark else ""
    return f"{apart}{tex(unmarked)}{hanging}"


def _latex_mark(mark: str) -> str:
    return f"$^{{{mark.replace('*', chr(92) + 'ast ')}}}$" if mark else ""
