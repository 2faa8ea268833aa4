"""The order in which samples come: what each step of an epoch holds, and which part of it each rank takes.

Owns the shuffling, the sorting by length and the sharing out. An order follows from (seed, epoch) alone. It uses only
the raw numbers of PCG64 and the mixing of SeedSequence, which numpy promises never to change, and none of its
shuffling, which may change: the same on every machine, with every version, for every number of ranks. Reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from affect.data.draft import Array

POOL = 50  # steps whose samples are sorted together by length


@dataclass(frozen=True)
class Share:
    """What one rank takes of one step."""

    entries: Array  # of the order
    fresh: Array  # False for a sample that is repeated, so that every rank has one
    total: int  # samples of the step over all ranks, without the repeated ones


def order(count: int, size: int, *, seed: int, epoch: int, shuffle: bool = True, lengths: Array | None = None) -> Array:
    """The positions 0..count-1, step after step of `size`; only the last step may be short.

    With `lengths`, samples of like length come together. Shuffled, that is done in pools of about 50 steps whose steps
    are then shuffled; the short step is of any length. Not shuffled, everything is sorted, the longest first.
    """
    if not shuffle:
        return np.arange(count) if lengths is None else np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    shuffled = _shuffled(bits, count)
    if lengths is None:
        return shuffled
    full = count // size
    steps = shuffled[: full * size].reshape(full, size)
    pools = [_pooled(bits, pool, lengths) for pool in np.array_split(steps, max(1, round(full / POOL)))]
    return np.concatenate([*pools, shuffled[full * size :]])


def steps(count: int, size: int, *, drop_last: bool = False) -> int:
    """How many steps an epoch has."""
    return count // size if drop_last else -(-count // size)


def share(ordered: Array, number: int, size: int, *, rank: int = 0, world: int = 1) -> Share:
    """What a rank takes of a step: every `world`-th sample, from the `rank`-th on.

    Where a step has fewer samples than there are ranks, samples from the start of the order fill it up to one a rank.
    """
    whole = ordered[number * size : (number + 1) * size]
    filled = np.concatenate([whole, np.resize(ordered, max(0, world - len(whole)))])
    fresh = np.arange(len(filled)) < len(whole)
    return Share(filled[rank::world].copy(), fresh[rank::world].copy(), len(whole))


def padding(lengths: Array, ordered: Array, size: int) -> float:
    """The share of the cells of all steps that is padding, where each step is padded to its longest sequence."""
    if not len(ordered):
        return 0.0
    sorted_so = np.asarray(lengths, np.int64)[ordered]
    starts = np.arange(0, len(sorted_so), size)
    longest = np.maximum(np.maximum.reduceat(sorted_so, starts), 1)
    cells = longest * np.diff(np.append(starts, len(sorted_so)))
    return 1.0 - float(sorted_so.sum()) / float(cells.sum())


def _shuffled(bits: np.random.PCG64, count: int) -> Array:
    return np.argsort(bits.random_raw(count), kind="stable")


def _pooled(bits: np.random.PCG64, pool: Array, lengths: Array) -> Array:
    """The samples of a pool (steps, size), sorted by length within the pool, its steps in a new order."""
    flat = pool.reshape(-1)
    ranked = flat[np.argsort(np.asarray(lengths)[flat], kind="stable")].reshape(pool.shape)
    return ranked[_shuffled(bits, len(pool))].reshape(-1)
