"""Submits runs: which function submits which kind of configuration, and what it is told."""

from runstream.core._submission.calls import submit_below, submit_in
from runstream.core._submission.methods import Submission, register_submit_method

__all__ = ["Submission", "register_submit_method", "submit_below", "submit_in"]
