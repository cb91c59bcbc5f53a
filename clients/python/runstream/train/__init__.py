"""Trains many times."""
