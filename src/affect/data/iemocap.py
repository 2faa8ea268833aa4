"""IEMOCAP as it is released: the emotion, the scores and the words of each utterance, and where its media lie.

Reads the summary lines of EmoEvaluation, not what single annotators said. Utterances of other emotions are left out by
definition and counted. Refuses a copy without its five sessions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from affect.data.draft import Draft, Labels, Problem
from affect.data.plain import numbered, scan
from affect.data.rules import IEMOCAP4
from affect.errors import DataError

SESSIONS = (1, 2, 3, 4, 5)
CODES = ("ang", "hap", "sad", "neu", "exc", "fru", "fea", "sur", "dis", "oth", "xxx")
IEMOCAP6 = ("Happy", "Sadness", "Neutral", "Anger", "Excited", "Frustrated")
WAYS: Mapping[int, tuple[tuple[str, ...], Mapping[str, str]]] = {
    4: (IEMOCAP4, {"ang": "Anger", "hap": "Happy", "exc": "Happy", "neu": "Neutral", "sad": "Sadness"}),
    6: (IEMOCAP6, dict(zip(("hap", "sad", "neu", "ang", "exc", "fru"), IEMOCAP6, strict=True))),
}
SCORES = ("valence", "arousal", "dominance")

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_TURN = re.compile(
    rf"\[{_NUMBER} - {_NUMBER}\]\s+(\w+)\s+(\w+)\s+\[{_NUMBER}, {_NUMBER}, {_NUMBER}\]", re.ASCII
)  # [6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000]
_ANNOTATOR = re.compile(r"[AC]-\w+:")
_WORDS = re.compile(r"(\w+) \[[-\d.]+\]: ?(.*)", re.ASCII)
_UTTERANCE = re.compile(r"((Ses0([1-5]))[FM]_\w+)_([FM])\w*\d+", re.ASCII)


@dataclass(frozen=True)
class Turn:
    """One utterance as EmoEvaluation tells of it."""

    name: str
    code: str
    start: str
    end: str
    scores: tuple[float, ...]
    where: str


@dataclass
class _Session:
    """What one session's folders hold."""

    number: int
    sources: list[Path] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    media: dict[str, str] = field(default_factory=dict)  # utterance -> its wav, dialogue -> its video
    problems: list[str] = field(default_factory=list)
    passed: int = 0  # lines of transcriptions that belong to no utterance


def read_iemocap(source: Path, *, ways: int = 4, test_session: int = 5) -> Draft:
    """Utterances of four emotions (excited counts as happy) or six; a session is the test, the one before it valid."""
    if ways not in WAYS:
        raise DataError(f"ways is {ways}; IEMOCAP is read with 4 or 6 emotions")
    if test_session not in SESSIONS:
        raise DataError(f"test_session is {test_session}; the sessions of IEMOCAP are 1 to 5")
    sessions = [_read_session(source, number) for number in SESSIONS]
    classes, named = WAYS[ways]
    kept = [(s, turn) for s in sessions for turn in s.turns if turn.code in named]
    numbers = np.array([classes.index(named[turn.code]) for _, turn in kept], np.int64)
    merged = "; exc counts as hap" if ways == 4 else ""
    draft = Draft(
        name="iemocap",
        importer="iemocap 1",
        sources=[path for s in sessions for path in s.sources],
        ids=[turn.name for _, turn in kept],
        splits=[_split(s.number, test_session) for s, _ in kept],
        labels={
            "emotion": Labels(numbers, classes, f"the annotators' majority in EmoEvaluation{merged}"),
            **{task: Labels(np.array([t.scores[k] for _, t in kept], np.float32)) for k, task in enumerate(SCORES)},
        },
        root=source,
        problems=[Problem(-1, what) for s in sessions for what in s.problems],
        notes=_notes(sessions, named, test_session),
    )
    _add_columns(draft, kept)
    _add_words(draft, kept)
    return draft


def utterance(name: str) -> dict[str, str] | None:
    """The session, dialogue and speaker that an utterance's id tells of, or None where it is no such id."""
    match = _UTTERANCE.fullmatch(name)
    if match is None:
        return None
    dialogue, session, _, voice = match.groups()
    return {"session": session, "dialogue": dialogue, "speaker": f"{session}_{voice}"}


def _split(session: int, test: int) -> str:
    return "test" if session == test else "valid" if session % len(SESSIONS) + 1 == test else "train"


def _notes(sessions: list[_Session], named: Mapping[str, str], test: int) -> list[str]:
    left = Counter(turn.code for s in sessions for turn in s.turns if turn.code not in named)
    told = ", ".join(f"{code} {count:,}" for code, count in sorted(left.items())) or "none"
    passed = sum(s.passed for s in sessions)
    return [
        f"Session {test} is the test split and session {(test - 2) % len(SESSIONS) + 1} the valid split.",
        f"Utterances of other emotions are left out by definition: {told}.",
        "A video holds a whole dialogue; groups `start` and `end` are the utterance's seconds in it.",
        *([f"{passed:,} lines of the transcriptions belong to no utterance in EmoEvaluation."] if passed else []),
    ]


# one session


def _read_session(source: Path, number: int) -> _Session:
    folder = source / f"Session{number}"
    found = _Session(number)
    names = [name for name in scan(folder / "dialog" / "EmoEvaluation") if name.endswith(".txt")]
    if not names:
        raise DataError(f"{folder} holds no dialog/EmoEvaluation/*.txt; the five sessions of the release are needed")
    for name in names:
        path = folder / "dialog" / "EmoEvaluation" / name
        found.sources.append(path)
        found.turns += _turns(path, number, found.problems)
    _read_words(folder / "dialog" / "transcriptions", found)
    _find_media(source, found)
    return found


def _turns(path: Path, session: int, problems: list[str]) -> Iterator[Turn]:
    """The summary lines of one dialogue."""
    for number, line in numbered(path):
        if line.startswith("%") or _ANNOTATOR.match(line):
            continue
        where = f"{path.name} line {number}"
        match = _TURN.fullmatch(line)
        if match is None:
            problems.append(f"{where}: {line[:80]!r} is no `[start - end] name emotion [V, A, D]`")
            continue
        start, end, name, code, *scores = match.groups()
        if utterance(name) is None or not name.startswith(f"{path.stem}_") or not name.startswith(f"Ses0{session}"):
            problems.append(f"{where}: {name} is no utterance of session {session}, dialogue {path.stem}")
        elif code not in CODES:
            problems.append(f"{where} ({name}): emotion {code!r} is none of {', '.join(CODES)}")
        elif float(end) < float(start):
            problems.append(f"{where} ({name}): it ends at {end} s, before it starts at {start} s")
        else:
            yield Turn(name, code, start, end, tuple(map(float, scores)), where)


def _read_words(folder: Path, found: _Session) -> None:
    """Take in `Ses01F_impro01_F000 [006.2901-008.2357]: text`; other lines are remarks between utterances."""
    known = {turn.name: turn.where for turn in found.turns}
    for file in scan(folder):
        if not file.endswith(".txt"):
            continue
        found.sources.append(folder / file)
        for number, line in numbered(folder / file):
            match = _WORDS.fullmatch(line)
            name = match[1] if match else ""
            if match is None or name not in known:
                found.passed += 1
            elif name in found.words:
                found.problems.append(f"{file} line {number} ({name}): the utterance has words already")
            else:
                found.words[name] = match[2].strip()


def _find_media(source: Path, found: _Session) -> None:
    waves, videos = f"Session{found.number}/sentences/wav", f"Session{found.number}/dialog/avi/DivX"
    for dialogue in scan(source / waves):
        for name in scan(source / waves / dialogue):
            if name.endswith(".wav"):
                found.media[name[:-4]] = f"{waves}/{dialogue}/{name}"
    for name in scan(source / videos):
        if name.endswith(".avi"):
            found.media[name[:-4]] = f"{videos}/{name}"


# columns of the draft


def _add_columns(draft: Draft, kept: list[tuple[_Session, Turn]]) -> None:
    told = [utterance(turn.name) or {} for _, turn in kept]
    draft.groups = {name: [one[name] for one in told] for name in ("session", "dialogue", "speaker")}
    draft.groups |= {"start": [turn.start for _, turn in kept], "end": [turn.end for _, turn in kept]}
    columns = {
        "audio": [s.media.get(turn.name, "") for s, turn in kept],
        "video": [s.media.get(one["dialogue"], "") for (s, _), one in zip(kept, told, strict=True)],
    }
    for kind, column in columns.items():
        if any(column):
            draft.media[kind] = column
            missing = column.count("")
            draft.notes += [f"{missing:,} utterances have no {kind}."] if missing else []


def _add_words(draft: Draft, kept: list[tuple[_Session, Turn]]) -> None:
    if not any(s.words for s, _ in kept):
        draft.notes.append("There are no transcriptions, so that no utterance has words.")
        return
    draft.texts = [s.words.get(turn.name, "") for s, turn in kept]
    for index, (session, turn) in enumerate(kept):
        if turn.name not in session.words:
            draft.problems.append(Problem(index, f"{turn.where} ({turn.name}): no transcription has its words"))
