"""The HTML file: whole, self-contained, and no text becomes markup."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as some

from hpc_sweep import terminal_words as words
from hpc_sweep.job import Table
from hpc_sweep.report_html import html
from hpc_sweep.report_page import Facts, Fold, Page, Picture, Section, Shares, Words
from reporttools import HOSTILE

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
EMPTY = {"meta", "img", "!doctype"}


class Reader(HTMLParser):
    """The elements, attributes and text of a page; a tag that is not closed in its turn fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def get(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def page(*blocks: object, title: str = "trial: 3 of 4 points", lead: tuple[object, ...] = ()) -> Page:
    return Page(title, lead, (Section("Time and cost", blocks),))  # type: ignore[arg-type]


def read(*blocks: object, **more: object) -> Reader:
    return Reader(html(page(*blocks, **more), "hpc-sweep 0"))  # type: ignore[arg-type]


def test_a_page_has_its_title_its_badge_and_its_sections() -> None:
    text = html(page(Words(("One.",))), "hpc-sweep 0.1")
    assert "<title>trial: 3 of 4 points</title>" in text
    assert "<h1>trial <small>3 of 4 points</small></h1>" in text
    assert '<nav><a href="#time-and-cost">Time and cost</a></nav>' in text
    assert '<section id="time-and-cost"><h2>Time and cost</h2>' in text
    assert text.index("<footer>hpc-sweep 0.1</footer>")


def test_a_whole_sweep_has_no_badge() -> None:
    assert "<small>" not in html(page(title="trial"), "")


def test_a_table() -> None:
    rows = [["small", "0.5 ± 0.1*a", "x"], ["large", None, "y"]]
    text = html(page(Table("acc: mean ± sd", ["model", "0.1", "name"], rows, "*a 2 of 3\nblank: none", "rate")), "")
    assert "<figcaption>acc <span>mean ± sd</span></figcaption>" in text
    assert '<tr class="over"><th></th><th colspan="2">rate</th></tr>' in text
    assert '<th scope="col" class="right">0.1</th><th scope="col">name</th>' in text
    assert '<th scope="row">small</th><td class="right">0.5 ± 0.1<sup>*a</sup></td><td>x</td>' in text
    assert '<td class="right">–</td>' in text
    assert '<ul class="note"><li><sup>*a</sup> 2 of 3</li><li> blank: none</li></ul>' in text


def test_every_block_is_well_formed() -> None:
    shares = Shares((("done", 3), ("failed", 1), ("new", 0)))
    picture = Picture("loss", "figures/loss.svg", SVG, "a note")
    fold = Fold("more", (Table("", ["a"], [["b"]]), Words(("inside",))))
    found = read(Words(("One.", "Two.")), Facts((("job", "train"),)), shares, picture, fold)
    assert {"p", "dl", "dt", "dd", "ul", "figure", "img", "details", "summary", "table"} <= set(found.tags)
    assert "3 done" in found.texts and "1 failed" in found.texts and "0 new" not in found.texts
    assert found.tags.count("figcaption") == 1  # a table without a title has none


def test_the_bar_shows_the_shares() -> None:
    found = read(Shares((("done", 37), ("failed", 3))))
    assert found.get("style") == ["flex: 37 1 0", "flex: 3 1 0"]


def test_a_figure_is_inside_and_inert() -> None:
    """An image cannot run what is in it, and the page forbids scripts anyhow."""
    found = read(Picture("loss", "figures/loss.svg", SVG))
    (source,) = found.get("src")
    assert base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")) == SVG
    assert "script" not in found.tags
    assert found.get("alt") == ["loss"]


def test_nothing_is_fetched() -> None:
    text = html(page(Picture("loss", "figures/loss.svg", SVG), Table("t", ["a"], [["b"]])), "")
    assert not re.findall(r"(?:https?:)?//|@import|url\(", text.replace(base64.b64encode(SVG).decode(), ""))
    found = Reader(text)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(found.tags)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in found.get("content")


def test_it_is_for_phones_the_dark_and_paper_too() -> None:
    text = html(page(), "")
    assert 'name="viewport"' in text
    for wanted in ("prefers-color-scheme: dark", "@media print", "max-width: 40rem", "details-content"):
        assert wanted in text


@given(some.text(max_size=60))
@example(HOSTILE)
@example("</style></script><img src=x onerror=alert(1)>")
@example("' onload='x' \" onclick=\"y")
def test_no_text_is_markup_anywhere(text: str) -> None:
    meant, expected = read(*_everywhere(text)), read(*_everywhere("x"))
    shown = words.one_line(text)
    if shown and "*" not in shown and ": " not in shown:
        assert meant.tags == expected.tags
        assert [name for name, _ in meant.attributes] == [name for name, _ in expected.attributes]
        assert "".join(meant.texts).count(words.one_line(text)) >= 9
    assert "script" not in meant.tags and not [n for n, _ in meant.attributes if n.startswith("on")]


def _everywhere(text: str) -> list[object]:
    table = Table(f"t{text}", [text, text], [[text, f"a{text}"]], words.one_line(text), text)
    return [Words((text,)), Facts(((text, text),)), table, Picture(text, "f", SVG, text), Fold(text, ())]


def test_the_hostile_text_is_read_back_as_it_was() -> None:
    found = read(Words((HOSTILE,)))
    assert words.one_line(HOSTILE) in found.texts
