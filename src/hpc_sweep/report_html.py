"""A report page as one HTML file that needs nothing else: no network, no script, figures inside.

Owns the look, on a screen, a phone, in the dark and on paper, and the escaping: no text of a run is markup. A
policy in the file itself forbids all that the report does not use.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

from hpc_sweep import terminal_words as words
from hpc_sweep.job import Table
from hpc_sweep.report_page import (
    Block,
    Facts,
    Fold,
    Page,
    Picture,
    Section,
    Shares,
    Words,
    cell,
    note_lines,
    split_mark,
    to_the_right,
)

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6470; --rule: #d8dce1; --page: #fff;
  --good: #2f7d5b; --bad: #b3402e; --busy: #2f6db0; --rest: #a9b0b9; --odd: #8a5a9e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #9aa4b0; --rule: #363c44; --page: #15181c;
  --good: #5bb08a; --bad: #e07a67; --busy: #6aa3e0; --rest: #5c6570; --odd: #b98bcc; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: break-word; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h1 small { font-size: 1rem; font-weight: 500; color: var(--bad); letter-spacing: 0; white-space: nowrap;
  border: 1px solid; border-radius: 1rem; padding: .1rem .65rem; margin-left: .6rem; vertical-align: .25rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .8rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
p { margin: .5rem 0; max-width: 46rem; }
nav { margin: 1.2rem 0 0; color: var(--soft); font-size: .9rem; }
nav a { color: inherit; margin-right: 1.1rem; white-space: nowrap; }
dl { display: grid; grid-template-columns: fit-content(40%) 1fr; gap: .3rem 1.4rem; margin: .8rem 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
figure { margin: 1.4rem 0; }
figcaption { font-weight: 600; margin-bottom: .45rem; }
figcaption span { font-weight: 400; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .85rem; text-align: left; vertical-align: baseline; }
th:first-child, td:first-child { padding-left: .2rem; }
@media screen { th:first-child { position: sticky; left: 0; background: var(--page); } }
thead th { font-weight: 600; border-bottom: 1.5px solid var(--ink); white-space: nowrap; }
thead tr.over th { font-weight: 400; color: var(--soft); border-bottom: 0; padding-bottom: 0; text-align: center; }
tbody th { font-weight: 500; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
.right, thead th.right { text-align: right; white-space: nowrap; }
sup { line-height: 0; color: var(--bad); font-size: .8em; padding-left: .1em; }
td.right sup { display: inline-block; width: 0; }
.note { margin: .5rem 0 0; font-size: .86rem; color: var(--soft); list-style: none; padding: 0; max-width: 46rem; }
.picture { background: #fff; border-radius: 6px; padding: .4rem; width: fit-content; max-width: 100%; }
@media (prefers-color-scheme: dark) { .picture { filter: brightness(.87); } }
.picture img { display: block; max-width: 100%; height: auto; }
details { margin: .9rem 0; border: 1px solid var(--rule); border-radius: 6px; padding: .55rem .9rem; }
summary { cursor: pointer; font-weight: 500; }
.bar { display: flex; height: .8rem; border-radius: .4rem; overflow: hidden; gap: 2px; margin: 1rem 0 .5rem; }
.bar i { min-width: 3px; background: var(--rest); }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; margin: 0 0 .6rem; padding: 0; list-style: none; }
.key i { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .4rem;
  background: var(--rest); }
i.done { background: var(--good); }
i.failed, i.lost { background: var(--bad); }
i.damaged { background: var(--odd); }
i.running { background: var(--busy); }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  main { padding: 1.4rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  h1 small { display: table; margin: .5rem 0 0; }
  dl { gap: .3rem .9rem; }
  .picture img { max-width: none; }
  th, td { padding: .3rem .55rem; }
}
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --rule: #bbb; --page: #fff; }
  main { max-width: none; padding: 0; }
  body { font-size: 10.5pt; }
  nav { display: none; }
  h2, figcaption { break-after: avoid; }
  figure, tr, details { break-inside: avoid; }
  .scroll { overflow: visible; }
  .picture { filter: none; }
  .picture img { max-width: 100%; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .bar, .key { print-color-adjust: exact; }
}
"""


def html(page: Page, made_by: str) -> str:
    """The whole file."""
    title, _, badge = page.title.partition(": ")
    small = f" <small>{text(badge)}</small>" if badge else ""
    links = "".join(f'<a href="#{_anchor(s.title)}">{text(s.title)}</a>' for s in page.sections)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(page.title)}</title>",
            f"<style>{_STYLE}</style></head>",
            f"<body><main><h1>{text(title)}{small}</h1>",
            *map(_block, page.lead),
            f"<nav>{links}</nav>",
            *map(_section, page.sections),
            f"<footer>{text(made_by)}</footer>",
            "</main></body></html>\n",
        ]
    )


def text(given: str) -> str:
    """Text that HTML shows as it is, in an element or a quoted attribute."""
    return escape(words.one_line(given), quote=True)


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-")


def _section(section: Section) -> str:
    blocks = "\n".join(map(_block, section.blocks))
    return f'<section id="{_anchor(section.title)}"><h2>{text(section.title)}</h2>\n{blocks}</section>'


def _block(block: Block) -> str:
    if isinstance(block, Words):
        return "\n".join(f"<p>{text(sentence)}</p>" for sentence in block.sentences)
    if isinstance(block, Facts):
        return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(said)}</dd>' for name, said in block.rows)}</dl>"
    if isinstance(block, Shares):
        return _shares(block)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return _picture(block)
    return _fold(block)


def _shares(shares: Shares) -> str:
    shown = [(name, count) for name, count in shares.counts if count]
    bar = "".join(f'<i class="{text(name)}" style="flex: {count} 1 0"></i>' for name, count in shown)
    key = "".join(f'<li><i class="{text(name)}"></i>{count:,} {text(name)}</li>' for name, count in shown)
    return f'<div class="bar" aria-hidden="true">{bar}</div><ul class="key">{key}</ul>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.svg).decode()
    image = f'<img alt="{text(picture.title)}" src="data:image/svg+xml;base64,{data}">'
    note = f'<p class="note">{text(picture.note)}</p>' if picture.note else ""
    caption = _caption(picture.title)
    return f'<figure>{caption}<div class="scroll picture">{image}</div>{note}</figure>'


def _fold(fold: Fold) -> str:
    blocks = "\n".join(map(_block, fold.blocks))
    return f"<details><summary>{text(fold.title)}</summary>\n{blocks}</details>"


def _caption(title: str) -> str:
    """What is shown, and after a colon how."""
    name, colon, how = words.one_line(title).partition(": ")
    if not name:
        return ""
    return f"<figcaption>{text(name)}{f' <span>{text(how)}</span>' if colon else ''}</figcaption>"


def _table(table: Table) -> str:
    right = to_the_right(table)
    over = ""
    if table.across and len(table.columns) > 1:
        over = f'<tr class="over"><th></th><th colspan="{len(table.columns) - 1}">{text(table.across)}</th></tr>'
    heads = "".join(_cell("th", cell(c), r, "col") for c, r in zip(table.columns, right, strict=True))
    rows = "".join(f"<tr>{_row(row, right)}</tr>\n" for row in table.rows)
    notes = "".join(f"<li>{_mark(mark)} {text(said)}</li>" for mark, said in note_lines(table))
    note = f'<ul class="note">{notes}</ul>' if notes else ""
    body = f"<table><thead>{over}<tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>"
    return f'<figure>{_caption(table.title)}<div class="scroll">{body}</div>{note}</figure>'


def _row(row: Sequence[str | float | None], right: Sequence[bool]) -> str:
    return "".join(_cells(map(cell, row), right))


def _cells(texts: Iterable[str], right: Sequence[bool]) -> Iterable[str]:
    for k, (said, to_right) in enumerate(zip(texts, right, strict=True)):
        yield _cell("td" if k else "th", said, to_right, "" if k else "row")


def _cell(tag: str, said: str, to_right: bool, scope: str) -> str:
    plain, mark = split_mark(said)
    attributes = (f' scope="{scope}"' if scope else "") + (' class="right"' if to_right else "")
    return f"<{tag}{attributes}>{text(plain)}{_mark(mark)}</{tag}>"


def _mark(mark: str) -> str:
    return f"<sup>{text(mark)}</sup>" if mark else ""
