"""The jobs that make data: what they refuse, what they leave, and what becomes of them when they are stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import foreign_files
from affect.data import container, store
from affect.data.draft import Draft
from affect.errors import DataError
from hpc_sweep import job
from hpc_sweep.job import Context, Result, Stopped

ROOT = Path(__file__).parents[2]
IMPORT, EXTRACT = (job.load(name, ROOT / "jobs") for name in ("import_data", "extract"))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(kind: job.Job, stop: bool = False, **values: Any) -> Result:
    context = Context(
        seed=0, scratch=Path("scratch"), resources={}, send=lambda *a, **k: None, stop_asked=lambda: stop
    )  # fmt: skip
    result: Result = kind.module.run(kind.check(values), context)
    return result


def refused(kind: job.Job, **values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.check(values)
    return str(caught.value)


def words(count: int = 600) -> store.Dataset:
    """A dataset that has only words."""
    Path("source").write_text("x")
    texts = [f"the {'good' if i % 3 else 'bad'} film number {i}" for i in range(count)]
    draft = Draft("talk", "test 1", [Path("source")], [f"v{i}" for i in range(count)], ["train"] * count, texts)
    return store.write(draft, Path("data/sets/talk.h5"))


# import_data


def test_an_import_says_what_it_made(project: Path) -> None:
    source = foreign_files.write(project / "x.pkl", foreign_files.mmsa(width=4))
    result = run(IMPORT, dataset="mosi", format="mmsa", source=str(source))
    assert result.metrics == {"train": 6, "valid": 3, "test": 4, "samples": 13, "dropped": 0, "zeroed": 0}
    found = store.open_dataset(project / "data" / "sets" / "mosi.h5")
    assert found.name == "mosi" and len(found) == 13


def test_one_point_imports_and_encodes(project: Path) -> None:
    source = foreign_files.write(project / "x.pkl", foreign_files.mmsa(width=4))
    result = run(IMPORT, dataset="mosi", format="mmsa", source=str(source), encode={"text": "tiny", "log-mel": "tiny"})
    assert sorted(p.name.rpartition("-")[0] for p in (project / "data/features").glob("*.h5")) == [
        "mosi-log_mel", "mosi-tiny_mosi",
    ]  # fmt: skip
    assert result.metrics["log-mel_rows"] == 0 and (result.metrics["text_rows"] or 0) > 13


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"encode": {"smell": "tiny"}}, "'text', 'faces' or 'log-mel'"),
        ({"features": "../x"}, "must lie in the project"),
        ({"format": "mmsa2"}, "format `mmsa2` is none of affwild2"),
        ({"folder": "/somewhere"}, "must lie in the project"),
        ({"folder": "data/../.."}, "must lie in the project"),
        ({"dataset": "../mosi"}, "should match pattern"),
        ({"dataset": "MOSI"}, "should match pattern"),
        ({"memory_gb": 0}, "greater than 0"),
        ({"drop": 1}, "valid boolean"),
        ({"source": ""}, "at least 1"),
    ],
)
def test_an_import_that_makes_no_sense_is_refused_with_the_grid(values: dict[str, Any], said: str) -> None:
    assert said in refused(IMPORT, **{"dataset": "mosi", "format": "mmsa", "source": "x.pkl", **values})


def test_options_reach_the_format(project: Path) -> None:
    source = foreign_files.write(project / "x.pkl", foreign_files.mmsa(width=4))
    with pytest.raises(DataError, match="the format `mmsa` has no option `ways`"):
        run(IMPORT, dataset="mosi", format="mmsa", source=str(source), options={"ways": 4})
    with pytest.raises(DataError, match="there is no nothing.pkl"):
        run(IMPORT, dataset="mosi", format="mmsa", source="nothing.pkl")


# extract


def test_features_are_made_once_and_found_again(project: Path) -> None:
    dataset = words(40)
    result = run(EXTRACT, dataset="talk", encoder="text")
    (path,) = (project / "data" / "features").glob("*.h5")
    features = container.read(path, "features").ragged("features")
    assert result.metrics["samples"] == len(dataset) == len(features) == 40
    assert result.metrics["rows"] == features.offsets[-1] and result.metrics["empty"] == 0
    before = path.stat().st_mtime_ns
    assert run(EXTRACT, dataset="talk", encoder="text").metrics == result.metrics
    assert path.stat().st_mtime_ns == before


def test_parts_make_the_same_file(project: Path) -> None:
    words()
    run(EXTRACT, dataset="talk", encoder="text")
    (path,) = (project / "data" / "features").glob("*.h5")
    whole = path.read_bytes()
    path.unlink()
    told = [run(EXTRACT, dataset="talk", encoder="text", parts=3, part=part).metrics for part in (2, 0, 1)]
    assert path.read_bytes() == whole
    assert told == [{"samples": 600, "width": 32}] * 3, "which one came last must not show"


def test_a_run_that_is_stopped_goes_on_where_it_was(project: Path) -> None:
    words()
    with pytest.raises(Stopped):
        run(EXTRACT, stop=True, dataset="talk", encoder="text")
    assert not list((project / "data" / "features").glob("*.h5"))
    assert run(EXTRACT, dataset="talk", encoder="text").metrics["samples"] == 600


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"parts": 2, "part": 2}, "part 2 of 2"),
        ({"encoder": "log-mel", "weights": "x"}, "log-mel has no weights"),
        ({"encoder": "smell"}, "'text', 'faces' or 'log-mel'"),
        ({"most": 1}, "greater than or equal to 2"),
    ],
)
def test_an_extraction_that_makes_no_sense(values: dict[str, Any], said: str) -> None:
    assert said in refused(EXTRACT, **{"dataset": "talk", "encoder": "text", **values})


def test_what_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="there is no data/sets/talk.h5"):
        run(EXTRACT, dataset="talk", encoder="text")
    words(5)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="google/electra-base-discriminator"):
        run(EXTRACT, dataset="talk", encoder="text", weights="google/electra-base-discriminator")
    with pytest.raises(DataError, match=r"faces\.pt"):
        run(EXTRACT, dataset="talk", encoder="faces", weights="faces.pt")


def test_a_dataset_without_media_gives_no_frames(project: Path) -> None:
    words(5)
    assert run(EXTRACT, dataset="talk", encoder="log-mel").metrics == {
        "samples": 5, "width": 128, "rows": 0, "empty": 5,
    }  # fmt: skip


def test_configurations_read_back_what_they_wrote() -> None:
    for kind, values in ((IMPORT, {"dataset": "m", "format": "csd", "source": "x", "options": {"folds": "f.py"}}),
                         (EXTRACT, {"dataset": "m", "encoder": "text", "tiny_of": ["a", "b"]})):  # fmt: skip
        config = kind.check(values)
        plain = kind.adapter.dump_python(config, mode="json")
        assert kind.restore(json.loads(json.dumps(plain))) == config
