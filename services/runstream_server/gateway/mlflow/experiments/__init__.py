"""Experiments as clients of MLflow see them."""
