"""The dataset file: a draft is checked from end to end, and nothing of it is mended that was not asked for."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.data import store
from affect.data.draft import Draft, Frames, Labels, Problem
from affect.data.rules import POLARITY
from affect.data.store import Dataset, Mending
from affect.errors import DataError

LENGTHS = [2, 0, 3, 1, 2, 4]


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    source = tmp_path / "source.pkl"
    source.write_bytes(b"abc")
    rows = [np.arange(n * 3, dtype=np.float64).reshape(n, 3) + i for i, n in enumerate(LENGTHS)]
    return Draft(
        name="tiny", importer="test 1", sources=[source],
        ids=[f"v{i}" for i in range(6)], splits=["train"] * 3 + ["valid"] + ["test"] * 2,
        texts=["one", "", "drei é", "\N{PILE OF POO}", "five 5", "a\nb"],
        frames={"vision": Frames(np.array(LENGTHS), 3, rows.__getitem__, "made up")},
        tokens={"bert": [np.arange(i) for i in range(6)]},
        labels={
            "polarity": Labels(np.array([0, 1, 2, 1, 2, 2]), POLARITY, "by hand"),
            "sentiment": Labels(np.linspace(-3, 3, 6)),
        },
        groups={"video": ["a", "a", "b", "c", "d", "d"]}, media={"video": ["x/1.mp4", "", "x/3.mp4", "", "", ""]},
        root=tmp_path, notes=["made for a test"],
    )  # fmt: skip


def written(draft: Draft, tmp_path: Path, **mending: bool) -> Dataset:
    return store.write(draft, tmp_path / "data" / "tiny.h5", Mending(**mending))


def refused(draft: Draft, tmp_path: Path, **mending: bool) -> str:
    with pytest.raises(DataError) as caught:
        written(draft, tmp_path, **mending)
    assert not list((tmp_path / "data").glob("*")), "nothing half-written"
    return str(caught.value)


def with_row(draft: Draft, i: int, row: Any) -> Draft:
    old = draft.frames["vision"]
    return replace(draft, frames={"vision": replace(old, read=lambda k: row if k == i else old.read(k))})


def test_a_dataset_comes_back_as_it_was_drafted(draft: Draft, tmp_path: Path) -> None:
    written(draft, tmp_path)
    found = store.open_dataset(tmp_path / "data" / "tiny.h5")
    assert (found.name, len(found), found.ids) == ("tiny", 6, draft.ids)
    assert found.text is not None and found.text.texts() == draft.texts
    assert [found.split(s).tolist() for s in ("train", "valid", "test")] == [[0, 1, 2], [3], [4, 5]]
    vision = found.frames["vision"]
    assert vision.lengths.tolist() == LENGTHS and vision.values.dtype == np.float32
    for i in range(6):
        np.testing.assert_array_equal(vision[i], draft.frames["vision"].read(i).astype(np.float32))
        assert found.tokens["bert"][i].tolist() == list(range(i))
    assert found.labels["polarity"].values.tolist() == [0, 1, 2, 1, 2, 2]
    assert found.labels["polarity"].classes == POLARITY and found.labels["polarity"].rule == "by hand"
    np.testing.assert_allclose(found.labels["sentiment"].values, np.linspace(-3, 3, 6), rtol=1e-6)
    assert found.groups == draft.groups
    assert found.media("video", 0) == tmp_path / "x/1.mp4" and found.media("video", 1) is None
    assert found.media("video", 2, Path("elsewhere")) == Path("elsewhere/x/3.mp4") and found.media("audio", 0) is None
    found.verify()


def test_where_it_comes_from_is_in_the_file(draft: Draft, tmp_path: Path) -> None:
    about = written(draft, tmp_path).about
    assert about["sources"] == [{"file": "source.pkl", "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}]
    assert about["importer"] == "test 1" and about["notes"] == ["made for a test"]
    assert about["frames"] == {"vision": {"width": 3, "about": "made up"}}
    assert about["dropped"] == [] and about["zeroed"] == 0


def test_it_says_what_always_the_commonest_would_score(draft: Draft, tmp_path: Path) -> None:
    assert written(draft, tmp_path).describe() == [
        "tiny: 6 samples, importer test 1",
        "  train: N = 3",
        "    polarity: negative 1, neutral 1, positive 1; always the commonest: 0.333",
        "  valid: N = 1",
        "    polarity: negative 0, neutral 1, positive 0; always the commonest: 1.000",
        "  test: N = 2",
        "    polarity: negative 0, neutral 0, positive 2; always the commonest: 1.000",
    ]


def test_a_dataset_without_words_or_frames(draft: Draft, tmp_path: Path) -> None:
    found = written(replace(draft, texts=None, frames={}, tokens={}, groups={}, media={}), tmp_path)
    assert found.text is None and found.frames == {} and found.tokens == {} and found.media("video", 0) is None


def test_the_same_draft_gives_the_same_bytes(draft: Draft, tmp_path: Path) -> None:
    first = written(draft, tmp_path).file.path.read_bytes()
    assert written(draft, tmp_path).file.path.read_bytes() == first


# what does not fit


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused_or_made_zero(value: float, draft: Draft, tmp_path: Path) -> None:
    bad = with_row(draft, 2, np.array([[1, 2, 3], [4, value, 6], [value, 8, 9]]))
    said = refused(bad, tmp_path)
    assert "tiny sample 2 (v2): vision: 2 numbers are NaN or infinite" in said and "hint: `drop: true`" in said
    found = written(bad, tmp_path, zero=True)
    assert found.frames["vision"][2].tolist() == [[1, 2, 3], [4, 0, 6], [0, 8, 9]]
    assert found.about["zeroed"] == 2 and len(found) == 6


ROWS: list[tuple[Any, str]] = [
    (np.zeros((2, 3)), "has the shape (2, 3), not (3, 3)"),
    (np.zeros((3, 4)), "has the shape (3, 4), not (3, 3)"),
    (np.zeros(9), "has the shape (9,), not (3, 3)"),
    (np.array([["a"] * 3] * 3), "which is no number"),
    (np.zeros((3, 3), bool), "has the type bool"),
    (np.zeros((3, 3), complex), "has the type complex128"),
    (np.full((3, 3), None), "has the type object"),
]


@pytest.mark.parametrize(("row", "words"), ROWS)
def test_a_sequence_of_another_shape_is_told(row: Any, words: str, draft: Draft, tmp_path: Path) -> None:
    said = refused(with_row(draft, 2, row), tmp_path, zero=True)
    assert "tiny sample 2 (v2): vision" in said and words in said


def test_what_is_dropped_is_counted_and_recorded(draft: Draft, tmp_path: Path) -> None:
    draft.ids[4] = "v0"
    draft.labels["polarity"].values[1] = 3
    draft.problems.append(Problem(5, "x.csv row 7 (v5): emotion 'glee' is not known"))
    draft.problems.append(Problem(-1, "x.csv row 9: cut short"))
    said = refused(draft, tmp_path)
    assert "tiny: 4 of 6 samples do not fit" in said
    for line in ("row 7 (v5)", "row 9: cut", "id `v0` is that of sample 0 too", "(v1): polarity is 3, outside 0..2"):
        assert line in said
    found = written(draft, tmp_path, drop=True)
    assert found.ids == ["v0", "v2", "v3"] and len(found.about["dropped"]) == 4
    np.testing.assert_array_equal(found.frames["vision"][1], draft.frames["vision"].read(2))
    assert found.tokens["bert"][2].tolist() == [0, 1, 2]
    assert sum(d["count"] for d in found.about["dropped_by_reason"]) == 4
    assert any("emotion 'glee'" in line for line in found.describe())


@pytest.mark.parametrize(
    ("task", "value", "words"),
    [("polarity", -1, "polarity is -1, outside 0..2"), ("sentiment", math.nan, "sentiment is nan")],
)
def test_labels_out_of_range(task: str, value: float, words: str, draft: Draft, tmp_path: Path) -> None:
    draft.labels[task].values[3] = value
    assert f"tiny sample 3 (v3): {words}" in refused(draft, tmp_path)


def test_an_empty_id_is_no_id(draft: Draft, tmp_path: Path) -> None:
    draft.ids[2] = ""
    assert "tiny sample 2: it has no id" in refused(draft, tmp_path)


def test_many_problems_are_not_all_shown(draft: Draft, tmp_path: Path) -> None:
    draft.problems += [Problem(i % 6, f"problem {i}") for i in range(30)]
    said = refused(draft, tmp_path)
    assert "problem 9\n" in said and "problem 10" not in said and "... and 20 more" in said


def test_nothing_left_is_refused_too(draft: Draft, tmp_path: Path) -> None:
    draft.problems += [Problem(i, f"row {i} is broken") for i in range(6)]
    assert "nothing is left of 6 samples; the first: row 0 is broken" in refused(draft, tmp_path, drop=True)


SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"ids": []}, "0 ids, and 6 of `splits`"),
    ({"splits": ["train"] * 5}, "6 ids, and 5 of `splits`"),
    ({"splits": ["train"] * 5 + ["tset"]}, "`tset` is none of train, valid, test"),
    ({"texts": ["x"]}, "1 of `texts`"),
    ({"groups": {"video": ["a"]}}, "1 of `video`"),
    ({"media": {"smell": [""] * 6}}, "`smell` is none of"),
    ({"labels": {"p": Labels(np.zeros(7, int), ("a",))}}, "7 of `p`"),
    ({"frames": {"f": Frames(np.zeros(2, int), 3, lambda i: np.zeros((0, 3)))}}, "2 of `f`"),
    ({"frames": {"f": Frames(np.zeros(6, int), 3, lambda i: np.zeros((0, 3)), of=np.zeros(2, int))}}, "2 of `f`"),
    ({"frames": {"f": Frames(np.zeros(2, int), 3, lambda i: np.zeros((0, 3)), of=np.arange(6))}}, "beyond its 2 seq"),
    ({"frames": {"f": Frames(np.zeros(6, int), 3, lambda i: np.zeros((0, 3)), of=np.full(6, -1))}}, "beyond its 6 seq"),
]


@pytest.mark.parametrize(("change", "words"), SHAPES)
def test_what_an_importer_must_never_give(change: dict[str, Any], words: str, draft: Draft, tmp_path: Path) -> None:
    assert words in refused(replace(draft, **change), tmp_path, drop=True)


# samples that share a sequence


SHARED = [np.full((n, 3), n, np.float64) for n in (2, 0, 5, 1)]


def sharing(draft: Draft, of: list[int], reads: list[int] | None = None) -> Draft:
    def read(k: int) -> Any:
        if reads is not None:
            reads.append(k)
        return SHARED[k]

    return replace(draft, frames={"vision": Frames(np.array([2, 0, 5, 1]), 3, read, of=np.array(of))})


def test_a_shared_sequence_is_read_and_stored_once(draft: Draft, tmp_path: Path) -> None:
    of, reads = [2, 2, 0, 1, 2, 0], list[int]()
    written(sharing(draft, of, reads), tmp_path)
    vision = store.open_dataset(tmp_path / "data" / "tiny.h5").frames["vision"]
    assert len(vision) == 6 and vision.lengths.tolist() == [5, 5, 2, 0, 5, 2]
    for i, k in enumerate(of):
        np.testing.assert_array_equal(vision[i], SHARED[k])
    assert len(vision.values) == 7, "the sequence that nobody has is left out"
    assert sorted(reads) == [0, 0, 1, 1, 2, 2], "once to look at it, once to write it"


def test_dropping_samples_keeps_the_sequences_of_the_others(draft: Draft, tmp_path: Path) -> None:
    shared = sharing(draft, [3, 0, 0, 2, 1, 3])
    shared.problems += [Problem(3, "row 3 is broken"), Problem(0, "row 0 is broken")]
    vision = written(shared, tmp_path, drop=True).frames["vision"]
    assert [row.tolist() for row in (vision[i] for i in range(4))] == [SHARED[k].tolist() for k in (0, 0, 1, 3)]
    assert len(vision.values) == 3


def test_a_shared_sequence_that_is_bad_is_a_problem_of_each_that_has_it(draft: Draft, tmp_path: Path) -> None:
    bad = sharing(draft, [2, 2, 0, 1, 2, 0])
    bad.frames["vision"].lengths[2] = 4
    said = refused(bad, tmp_path)
    assert "3 of 6 samples do not fit" in said and "sample 4 (v4): vision: has the shape (5, 3), not (4, 3)" in said
    assert written(bad, tmp_path, drop=True).ids == ["v2", "v3", "v5"]


@pytest.mark.parametrize("column", ["texts", "groups", "ids"])
def test_half_a_character_is_told_before_anything_is_written(column: str, draft: Draft, tmp_path: Path) -> None:
    values = {"texts": draft.texts, "groups": draft.groups["video"], "ids": draft.ids}[column]
    assert values is not None
    values[4] = "\ud83d"
    said = refused(draft, tmp_path)
    assert "tiny sample 4" in said and "holds half a character" in said
    assert len(written(draft, tmp_path, drop=True)) == 5


def test_no_samples_at_all(draft: Draft, tmp_path: Path) -> None:
    empty = Draft("none", "test 1", draft.sources, [], [])
    assert "none: no samples in" in refused(empty, tmp_path)


def test_a_source_that_cannot_be_read_row_by_row_is_told_with_its_row(draft: Draft, tmp_path: Path) -> None:
    def read(i: int) -> Any:
        raise DataError(f"{i}.npy is cut short")

    broken = replace(draft, frames={"vision": Frames(np.array(LENGTHS), 3, read)})
    assert "tiny sample 0 (v0): vision: 0.npy is cut short" in refused(broken, tmp_path)


def test_opening_reads_nothing_but_the_description(draft: Draft, tmp_path: Path) -> None:
    """The arrays stay on disk: a dataset of 400 MB opens with hardly any memory."""
    rows = np.zeros((100_000, 1000), np.float32)
    big = replace(
        draft,
        frames={
            "vision": Frames(np.array([100_000, 0, 0, 0, 0, 0]), 1000, lambda i, rows=rows: rows[: 100_000 * (i == 0)])
        },
    )
    path = written(big, tmp_path).file.path
    del rows, big
    code = (
        "import sys; from pathlib import Path; from affect.data import store;"
        "d = store.open_dataset(Path(sys.argv[1])); d.frames['vision'][0][50_000:50_016].sum();"
        "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])"
    )
    told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    path.unlink()
    assert int(told.stdout) < 200_000  # kB
