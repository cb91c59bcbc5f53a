"""Compute targets, where SDK v1 has them."""

from runstream.core.compute_target import ComputeTarget

__all__ = ["ComputeTarget"]
