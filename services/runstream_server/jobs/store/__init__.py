"""Reads and writes the tables of jobs. Rows do not leave this package."""
