"""Markdown and LaTeX: what they look like, and that no text becomes markup."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hpc_sweep import terminal_words as words
from hpc_sweep.job import Table
from hpc_sweep.report_markup import latex, markdown, plain, tex
from hpc_sweep.report_page import Facts, Fold, Page, Picture, Section, Shares, Words
from reporttools import HOSTILE

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NUMBERS = Table(
    "accuracy: mean ± sd", ["model", "0.1", "0.2"], [["small", "0.71 ± 0.01", "0.5 ± 0.1*a"], ["large", "1.5", None]],
    "*a 2 of 3 seeds; 1 failed (oom)\nblank: none", "rate",
)  # fmt: skip


def page(*blocks: object, findings: bool = True) -> Page:
    return Page("trial: 3 of 4 points", (), (Section("Metrics", blocks, findings),))  # type: ignore[arg-type]


def inline(text: str) -> list[Token]:
    """What stands inside the paragraphs and cells of a document."""
    return [child for token in READER.parse(text) for child in token.children or []]


def said(text: str) -> str:
    return "".join(token.content for token in inline(text))


# Markdown


def test_a_table_in_markdown() -> None:
    assert markdown(page(NUMBERS)).split("\n\n")[2:] == [
        "### accuracy: mean ± sd",
        "| model ↓ rate → |         0.1 |        0.2   |\n"
        "| -------------- | ----------: | -----------: |\n"
        "| small          | 0.71 ± 0.01 | 0.5 ± 0.1\\*a |\n"
        "| large          |         1.5 |          –   |",
        "\\*a 2 of 3 seeds; 1 failed (oom)  \nblank: none\n",
    ]


def test_every_block_in_markdown() -> None:
    shares = Shares((("done", 1_200), ("failed", 3)))
    picture = Picture("loss", "figures/curve-loss.svg", b"<svg/>", "mean over seeds")
    fold = Fold("more", (Words(("inside",)),))
    text = markdown(page(Words(("One.", "Two.")), Facts((("job", "train"),)), shares, picture, fold))
    assert text.startswith("# trial: 3 of 4 points\n\n## Metrics\n\nOne.\n\nTwo.\n\n- **job**: train\n\n")
    assert "1,200 done · 3 failed" in text
    assert "### loss\n\n![loss](figures/curve-loss.svg)\n\nmean over seeds" in text
    assert text.endswith("### more\n\ninside\n")


def test_markdown_is_read_as_it_was_meant() -> None:
    rendered = READER.render(markdown(page(NUMBERS)))
    assert rendered.count("<tr>") == 3
    assert '<td style="text-align:right">0.5 ± 0.1*a</td>' in rendered


@given(some.text(max_size=60))
@example(HOSTILE)
@example("| a | b |")
@example("![x](http://e) <http://e> [a]: b")
@example("~~gone~~ **bold** __bold__ `code` &lt; &#42; \\* \\")
@example("$x$ $$y$$ #1")
def test_no_text_is_markup_in_a_cell(text: str) -> None:
    meant = words.one_line(text)
    rendered = inline(f"| a | b |\n| --- | --- |\n| x{plain(text)}x | y |")
    assert {token.type for token in rendered} <= {"text", "text_special"}
    assert "".join(token.content for token in rendered) == f"abx{meant}xy"


@given(some.text(max_size=60))
@example("- item")
@example("1. item")
@example("12) item")
@example("# heading")
@example("> quotation")
@example("=====")
@example("    code")
@example("```")
@example("<div>")
def test_no_sentence_is_a_list_or_a_heading(text: str) -> None:
    blocks = READER.parse(markdown(Page("t", (Words((text,)),), ())))
    kinds = [token.type for token in blocks if token.type.endswith("_open")]
    meant = words.one_line(text)
    assert kinds == ["heading_open", *(["paragraph_open"] if meant else [])]
    assert said(markdown(Page("t", (Words((text,)),), ()))) == f"t{meant}"


def test_a_hostile_page_has_no_html_and_no_links() -> None:
    table = Table(HOSTILE, [HOSTILE, HOSTILE], [[HOSTILE, HOSTILE]], f"* {HOSTILE}", HOSTILE)
    text = markdown(Page(HOSTILE, (Words((HOSTILE,)), Facts(((HOSTILE, HOSTILE),))), (Section(HOSTILE, (table,)),)))
    kinds = {token.type for token in inline(text)} | {token.type for token in READER.parse(text)}
    assert not {k for k in kinds if "html" in k or "link" in k or "image" in k or "code" in k or k.startswith("em")}
    assert "\u202e" not in text and "\x1b" not in text and "\x00" not in text


# LaTeX


def test_a_table_in_latex() -> None:
    first, rest = latex(page(NUMBERS)).split("\n\n", 1)
    assert first.startswith("% The tables of sweep trial: 3 of 4 points. ") and first.endswith("\\input{report.tex}")
    assert (
        rest
        == r"""\begin{table}[htbp]
\centering
\caption{accuracy: mean $\pm$ sd}
\begin{tabular}{lrr}
\toprule
& \multicolumn{2}{c}{rate} \\
\cmidrule{2-3}
model & 0.1 & 0.2 \\
\midrule
small & 0.71 $\pm$ 0.01 & 0.5 $\pm$ 0.1\rlap{$^{\ast a}$} \\
large & 1.5 & -- \\
\bottomrule
\end{tabular}
\\[2pt] {\footnotesize $^{\ast a}$2 of 3 seeds; 1 failed (oom)}
\\[2pt] {\footnotesize blank: none}
\end{table}
"""
    )


def test_latex_has_the_findings_alone_folded_ones_too() -> None:
    assert latex(page(NUMBERS, findings=False)).count("\\begin{table}") == 0
    assert latex(page(NUMBERS, Fold("more", (NUMBERS,)))).count("\\begin{table}") == 2


@given(some.text(some.characters(min_codepoint=32, max_codepoint=126), max_size=40))
@example("\\{}$&#_%~^<>|\"`'")
@example("a--b ---")
def test_no_sign_is_a_command_in_latex(text: str) -> None:
    """Taking the escapes away again gives the text, and what is left has no sign that LaTeX acts on."""
    named = {
        "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
        "textbar": "|", "textasciigrave": "`", "textquotesingle": "'",
    }  # fmt: skip
    escaped = tex(text).replace("{\\char34}", "\x01").replace("-{}-", "\x02")
    bare = re.sub(r"\\(?:[a-z]+\{\}|[{}$&#_%])", "", escaped)
    assert not set(bare) & set("\\{}$&#_%~^<>|\"`'") and "--" not in bare
    back = re.sub(r"\\([a-z]+)\{\}", lambda m: named[m[1]], escaped)
    back = re.sub(r"\\([{}$&#_%])", r"\1", back) if "\\" not in text else back
    if "\\" not in text:
        assert back.replace("\x01", '"').replace("\x02", "--") == words.one_line(text)


def test_letters_stay_and_signs_without_one_do_not_stop_latex() -> None:
    assert tex("é 微 α") == "é 微 α"
    assert tex("😀 × → “x”") == "? $\\times$ -\\textgreater{} {\\char34}x{\\char34}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_a_hostile_table_compiles(tmp_path: Path) -> None:
    rows = [[HOSTILE, 1.0], ["[1] * x", None], ["* y", "0.5*b"], ["", "--"]]
    table = Table(HOSTILE, [HOSTILE, "n"], rows, f"* {HOSTILE}", HOSTILE)
    (tmp_path / "report.tex").write_text(latex(page(table, Table("", ["[a]"], [["[b]"]]))))
    head = "\\documentclass{article}\\usepackage{booktabs,textcomp}\\begin{document}"
    (tmp_path / "all.tex").write_text(head + "\\input{report.tex}\\end{document}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:]
