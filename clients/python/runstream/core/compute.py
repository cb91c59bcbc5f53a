"""Compute targets, where SDK v1 has them."""

from runstream.core.compute_target import AmlCompute, ComputeTarget, ComputeTargetException, KubernetesCompute

__all__ = ["AmlCompute", "ComputeTarget", "ComputeTargetException", "KubernetesCompute"]
