"""Emotion trees in the layout of MART's release: frames, sound and subtitles in a folder for each class.

    imgs/<Class>/<video>/%06d.jpg and n_frames, mp3/<Class>/<video>.mp3, srt/<Class>/<video>.srt

Which video is in which split is said by the lists beside them, or by lists alone. A folder is looked at once, and a
frame never. Refuses lists of another dataset, and two folders for one class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect.data import rules
from affect.data.affwild2 import video_of
from affect.data.draft import Draft, Labels, Problem
from affect.data.iemocap import utterance
from affect.data.plain import hold_out, read_text, scan, whole_number
from affect.data.subtitles import read_srt
from affect.data.tree_lists import Entry, Listing, read_listing
from affect.errors import DataError

FRAMES, SOUND, SUBTITLES = ("imgs", "img"), ("mp3", "wav"), ("srt",)
_ENDINGS = {"frames": ("",), "audio": (".mp3", ".wav"), "subtitles": (".srt",)}


@dataclass(frozen=True)
class Family:
    """What sets one dataset of this layout apart from another."""

    name: str
    classes: tuple[str, ...]
    polarity: str | None = None  # its map in rules.POLARITY_OF
    groups: Callable[[str], Mapping[str, str] | None] | None = None  # what a video's name tells; None: not such a name
    group_names: tuple[str, ...] = ()
    unit: str = ""  # the group whose samples stay together when valid is made; "" for each on its own


def _video(name: str) -> dict[str, str] | None:
    video = video_of(name)
    return None if video is None else {"video": video}


VIDEOEMOTION8 = Family("videoemotion8", rules.VIDEOEMOTION8, "videoemotion8")
EKMAN6 = Family("ekman6", rules.EKMAN6, "ekman6")
PERR = Family("perr", rules.PERR, "perr")
IEMOCAP = Family("iemocap", rules.IEMOCAP4, None, utterance, ("session", "dialogue", "speaker"), "dialogue")
AFFWILD2 = Family("affwild2", rules.AFFWILD2, None, _video, ("video",), "video")


def read_videoemotion8(source: Path) -> Draft:
    """VideoEmotion8: a folder with its lists, with or without the tree, or its JSON file."""
    return _read_tree(source, VIDEOEMOTION8)


def read_ekman6(source: Path) -> Draft:
    """Ekman6, as VideoEmotion8."""
    return _read_tree(source, EKMAN6)


def read_perr(source: Path) -> Draft:
    """PERR (ERATO), as VideoEmotion8."""
    return _read_tree(source, PERR)


def read_iemocap_tree(source: Path) -> Draft:
    """IEMOCAP with four emotions in this layout; `iemocap` reads the release itself."""
    return _read_tree(source, IEMOCAP)


def read_affwild2_tree(source: Path) -> Draft:
    """Aff-Wild2's runs of one expression in this layout; `affwild2` reads the release itself."""
    return _read_tree(source, AFFWILD2)


def _read_tree(source: Path, family: Family) -> Draft:
    if not source.exists():
        raise DataError(f"there is no {source}")
    listing = read_listing(source, family.classes)
    entries = listing.entries
    numbers = np.array([family.classes.index(entry.kind) for entry in entries], np.int64)
    labels = {"emotion": Labels(numbers, family.classes, "the class that the lists give the video")}
    if family.polarity:
        labels["polarity"] = rules.polarity_of_emotion(family.polarity, labels["emotion"])
    draft = Draft(
        name=family.name,
        importer=f"{family.name}-tree 1",
        sources=listing.sources,
        ids=[entry.id for entry in entries],
        splits=[entry.split for entry in entries],
        labels=labels,
        root=source if source.is_dir() else source.parent,
        problems=listing.problems,
        notes=listing.notes,
    )
    _add_groups(draft, family, listing)
    _make_valid(draft, family, listing)
    _add_media(draft, family, entries)
    return draft


def _add_groups(draft: Draft, family: Family, listing: Listing) -> None:
    if family.groups is None:
        return
    told = [family.groups(entry.name) for entry in listing.entries]
    for index, (entry, one) in enumerate(zip(listing.entries, told, strict=True)):
        if one is None:
            draft.problems.append(Problem(index, f"{draft.name} ({entry.id}): the name is not that of its dataset"))
    draft.groups = {name: [(one or {}).get(name, "") for one in told] for name in family.group_names}


def _make_valid(draft: Draft, family: Family, listing: Listing) -> None:
    """No list of these datasets has a validation split, so that one is made."""
    kinds = [entry.kind for entry in listing.entries]
    units = draft.groups.get(family.unit, draft.ids)
    # a name that says nothing of its group stands alone
    units = [unit or name for unit, name in zip(units, draft.ids, strict=True)]
    draft.splits = hold_out(draft.splits, units, kinds)
    what = family.unit or "video"
    draft.notes.append(f"The valid split is made from the training list: one {what} in ten, by the SHA-256 of its id.")


# media


def _add_media(draft: Draft, family: Family, entries: list[Entry]) -> None:
    for kind, folders in (("frames", FRAMES), ("audio", SOUND), ("subtitles", SUBTITLES)):
        found = _shelf(draft, family, folders, _ENDINGS[kind])
        if found is None:
            continue
        column = [found.get((entry.kind, entry.name), "") for entry in entries]
        draft.media[kind] = column
        if unlisted := set(found.values()) - set(column):
            draft.notes.append(f"{len(unlisted):,} {kind} are on no list, and are left out.")
        if "" in column and kind != "frames":
            draft.notes.append(f"{column.count(''):,} samples have no {kind}.")
    if "frames" in draft.media:
        _check_frames(draft)
    if "subtitles" in draft.media:
        _read_subtitles(draft)


def _shelf(
    draft: Draft, family: Family, folders: tuple[str, ...], endings: tuple[str, ...]
) -> dict[tuple[str, str], str] | None:
    """What the tree has of one kind: the path of each (class, video). None where it has no such folder."""
    root = draft.root or Path()
    there = [name for name in folders if (root / name).is_dir()]
    if len(there) > 1:
        raise DataError(f"{root} holds {' and '.join(there)}, which are the same thing; keep one")
    if not there:
        return None
    spelled = {name.casefold(): name for name in family.classes}
    found: dict[tuple[str, str], str] = {}
    seen: dict[str, str] = {}
    for folder in scan(root / there[0]):
        kind = spelled.get(folder.casefold())
        if kind is None:
            draft.notes.append(f"{there[0]}/{folder} is no class, and is left out.")
            continue
        if seen.setdefault(kind, folder) != folder:
            raise DataError(f"{root / there[0]} holds {seen[kind]} and {folder}, which are one class; keep one")
        for name in scan(root / there[0] / folder):
            ending = next((e for e in endings if name.endswith(e)), None)
            if ending is not None:
                found.setdefault((kind, name.removesuffix(ending)), f"{there[0]}/{folder}/{name}")
    return found


def _check_frames(draft: Draft) -> None:
    for index, (name, folder) in enumerate(zip(draft.ids, draft.media["frames"], strict=True)):
        wrong = _frames_wrong(draft, folder)
        if wrong:
            draft.problems.append(Problem(index, f"{draft.name} sample {index} ({name}): {wrong}"))


def _frames_wrong(draft: Draft, folder: str) -> str:
    if not folder:
        return "it has no folder of frames"
    try:
        text = read_text((draft.root or Path()) / folder / "n_frames").strip()
    except DataError:
        return "its n_frames cannot be read"
    return "" if whole_number(text) else f"n_frames is {text[:40]!r}, not a number above 0"


def _read_subtitles(draft: Draft) -> None:
    """The words of each sample; a file that is damaged is a problem of its sample."""
    root = draft.root or Path()
    draft.texts = []
    for index, path in enumerate(draft.media["subtitles"]):
        words = ""
        if path:
            draft.sources.append(root / path)
            try:
                words = " ".join(line.text for line in read_srt(root / path))
            except DataError as error:
                draft.problems.append(Problem(index, f"{draft.name} sample {index} ({draft.ids[index]}): {error}"))
        draft.texts.append(words)
