"""Shows runs in notebooks.

    from runstream.widgets import RunDetails

    RunDetails(run).show()

The widget needs `pip install "runstream[widgets]"`; without it, and outside of notebooks, a summary is printed.
"""

from runstream.widgets._run_details import RunDetails

__all__ = ["RunDetails"]
