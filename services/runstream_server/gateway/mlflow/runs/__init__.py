"""Runs as clients of MLflow see them, and what is logged to them."""
