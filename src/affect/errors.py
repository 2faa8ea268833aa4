"""What can be wrong with data and weights: one error, whose message names the file, the sample and the value."""

from __future__ import annotations


class DataError(ValueError):
    """Something on disk is not what it should be, or is not there."""

    kind = "data"  # what a run that meets it has failed with
