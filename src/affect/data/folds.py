"""Standard folds of the CMU datasets: Python files that assign three lists of video names.

Owns reading such a file without running it: the lists are taken from its syntax tree. Refuses lists that hold
anything but text, a fold that is not there, and a video in two folds.
"""

from __future__ import annotations

import ast
from pathlib import Path

from affect.data.draft import SPLITS
from affect.errors import DataError

_NAMES = {f"standard_{split}_fold": split for split in SPLITS}
_LARGEST = 1 << 24  # bytes; the largest real one has 60 thousand


def find_folds(source: Path, folds: str) -> Path:
    """The file that `folds` names below `source`, or the only one there with `folds` in its name."""
    if folds:
        path = (source / folds).resolve()
        if not path.is_relative_to(source.resolve()) or not path.is_file():
            raise DataError(f"`folds: {folds}` names no file below {source}")
        return path
    found = sorted(p for p in source.glob("*.py") if "folds" in p.name.casefold() and p.is_file())
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise DataError(
            f"{source} should have one Python file with `folds` in its name (found: {names}); copy the standard folds "
            "of the CMU-MultimodalSDK there, or name the file with `folds`"
        )
    return found[0]


def read_folds(path: Path) -> dict[str, str]:
    """The split of each video."""
    splits: dict[str, str] = {}
    for split, videos in _lists(path).items():
        for video in videos:
            if splits.setdefault(video, split) != split:
                raise DataError(f"{path}: video `{video}` is in the {splits[video]} fold and in the {split} fold")
    return splits


def _lists(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in _tree(path).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in _NAMES:
                found[_NAMES[name]] = _texts(node.value, name, path)
    missing = [name for name, split in _NAMES.items() if not found.get(split)]
    if missing:
        raise DataError(f"{path} assigns no list of videos to `{missing[0]}`; it is no file of standard folds")
    return found


def _texts(node: ast.expr, name: str, path: Path) -> list[str]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else []
    texts = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    if not isinstance(node, ast.List | ast.Tuple) or len(texts) < len(items):
        line = next((i.lineno for i in items if not isinstance(i, ast.Constant)), node.lineno)
        raise DataError(f"{path} line {line}: `{name}` should be a plain list of names in quotes")
    return texts


def _tree(path: Path) -> ast.Module:
    if path.stat().st_size > _LARGEST:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes, which is too much for a file of folds")
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as a Python file of lists: {error}") from error
