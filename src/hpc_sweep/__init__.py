"""The machine: grids, shards, Slurm arrays, workers, dumps and results. It never imports torch or affect."""

__version__ = "0.1.0"
