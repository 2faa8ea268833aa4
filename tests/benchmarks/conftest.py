"""The benchmarks that need a real Slurm take the clusters of the cluster tests."""

from cluster.conftest import clusters

__all__ = ["clusters"]
