"""What is true of a synthetic dataset, written beside it: which columns are invariant, which places are key.

`truth.json` is to be read, by sample; `truth.npz` has the numbers end to end, for tests and the report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from affect.data.synthetic import Columns, Domain, World
from affect.data.synthetic_text import Sentence

SENTIMENT = ("mosi", "mosei", "meld")  # the domains that have features of faces in common
FACE_WIDTH = 512


def face_world(world: World) -> World:
    """The world whose columns of vision are those of the face features."""
    return replace(world, width_vision=FACE_WIDTH)


def known_columns(world: World, domain: Domain) -> dict[str, Columns]:
    """What each kind of features has for columns: text, vision, and faces where there are any."""
    known = {"text": world.columns("text"), "vision": world.columns("vision")}
    if domain.name in SENTIMENT:
        known["faces"] = face_world(world).columns("vision")
    return known


def truth_arrays(world: World, domain: Domain) -> dict[str, Any]:
    """Which columns are invariant and which spurious, every score, and every key place, end to end."""
    arrays: dict[str, Any] = {"scores": domain.scores, "units": domain.units}
    for name, known in known_columns(world, domain).items():
        arrays[f"{name}_invariant"], arrays[f"{name}_spurious"] = known.invariant, known.spurious
    for name, signal in (("text", domain.text), ("vision", domain.vision)):
        arrays[f"{name}_keys"] = np.concatenate(signal.keys)
        arrays[f"{name}_key_counts"] = np.array([len(places) for places in signal.keys])
    return arrays


def write_truth(world: World, domain: Domain, told: Sequence[Sentence], ids: Sequence[str], folder: Path) -> None:
    """`truth.json` and `truth.npz`."""
    np.savez_compressed(folder / "truth.npz", allow_pickle=False, **truth_arrays(world, domain))
    content = {
        "dataset": domain.name, "seed": world.seed, "strength": world.strength,
        "columns": {
            name: {"width": known.width, "invariant": known.invariant.tolist(), "spurious": known.spurious.tolist()}
            for name, known in known_columns(world, domain).items()
        },
        "spurious_signs": world.signs(domain.name).round(4).tolist(),
        "samples": {ids[i]: _told(domain, told[i], i) for i in range(len(domain))},
    }  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def _told(domain: Domain, sentence: Sentence, i: int) -> dict[str, Any]:
    return {
        "score": float(domain.scores[i]),
        "emotion": domain.emotions[i],
        "key_words": (domain.text.keys[i] - 1).tolist(),
        "key_frames": domain.vision.keys[domain.units[i]].tolist(),
        "polar_words": {place: value for place, value in enumerate(sentence.values) if value},
    }
