"""Benchmarks: each figure beside its limit in the same run, on a backend of its own started by `runstream up`."""
