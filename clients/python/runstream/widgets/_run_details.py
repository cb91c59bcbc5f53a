"""`RunDetails`."""

import html
import logging
import os
import sys
from array import array
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from runstream._channel import loop
from runstream.core._offline import OfflineCalls
from runstream.core._run import RunCalls
from runstream.exceptions import UserErrorException
from runstream.widgets._picture import CHARTS, Section
from runstream.widgets._remembered import RememberedData
from runstream.widgets._run_data import RunData
from runstream.widgets._summary import summary

if TYPE_CHECKING:
    from runstream.widgets._widget import RunWidget

REFRESH_VARIABLE: Final = "AZUREML_OVERRIDE_ALL_WIDGET_REFRESH_TIME"
LEAST_SECONDS: Final = 0.25

INSTALL: Final = 'For live charts and logs here: pip install "runstream[widgets]", then restart the notebook.'

_logger = logging.getLogger("runstream")


class RunDetails:
    """A run in a notebook, live: status, metrics, log, children, labels and errors.

        RunDetails(run).show()

    The cell returns at once, and what it shows goes on until the run has ended or `close()` is called. Any run will do:
    an interactive one, a submitted one, one of `Run(experiment, id)`, an offline one.

    Raises:
        UserErrorException: What is given is no run.
    """

    def __init__(self, run_instance: Any) -> None:
        if not isinstance(run_instance, (RunCalls, OfflineCalls)):
            raise UserErrorException(f"RunDetails shows a run, not {type(run_instance).__name__}.")
        self._run = run_instance
        self._widget: RunWidget | None = None

    def show(
        self, render_lib: Callable[[str], Any] | None = None, widget_settings: Mapping[str, Any] | None = None
    ) -> None:
        """Shows the run below the cell; where there is no notebook, prints a summary of it.

        `render_lib` is a function that shows HTML, where widgets do not work: it gets the summary. `widget_settings` is
        accepted and has no effect. `AZUREML_OVERRIDE_ALL_WIDGET_REFRESH_TIME` is how many seconds are between two
        updates, 0.25 at least and by default.

        Raises:
            UserErrorException: `widget_settings` is no dictionary, or the variable has no number.
        """
        if widget_settings is not None and not isinstance(widget_settings, Mapping):
            raise UserErrorException("widget_settings has to be a dictionary.")
        if widget_settings:
            _logger.warning("widget_settings has no effect: %s", ", ".join(map(str, widget_settings)))
        if render_lib is not None:
            render_lib(f"<pre>{html.escape(self._summary())}</pre>")
        elif not in_notebook():
            print(self._summary())  # noqa: T201
        else:
            self._show_widget()

    def get_widget_data(self) -> dict[str, Any]:
        """What the widget shows, as a dictionary: `record`, `charts`, `log_tail`, `child_runs` and `link`.

        Read from the services unless a widget shows it. `charts["curves"]` has the columns `steps` and `values`, of up
        to 1,000 points that keep the shape of a metric.
        """
        return _readable(self._sections())

    def close(self) -> None:
        """Ends the updates and removes the widget."""
        if self._widget is not None:
            self._widget.close()
            self._widget = None

    def _show_widget(self) -> None:
        import IPython.display

        try:
            from runstream.widgets._widget import RunWidget
        except ImportError:
            print(f"{self._summary()}\n\n{INSTALL}")  # noqa: T201
            return
        if self._widget is None:
            self._widget = RunWidget(self._make_data)
        show: Callable[[Any], None] = IPython.display.display
        show(self._widget)

    def _sections(self) -> dict[str, Section]:
        if self._widget is not None and self._widget.data is not None:
            return self._widget.data.sections()
        return loop.run(self._load())

    async def _load(self) -> dict[str, Section]:
        return await self._make_data().load()

    def _summary(self) -> str:
        return summary(self._sections())

    def _make_data(self) -> "RunData | RememberedData":
        kind = RememberedData if isinstance(self._run, OfflineCalls) else RunData
        return kind(self._run, refresh_seconds())


def refresh_seconds() -> float:
    """How many seconds are between two updates at least.

    Raises:
        UserErrorException: `AZUREML_OVERRIDE_ALL_WIDGET_REFRESH_TIME` has no number.
    """
    text = os.environ.get(REFRESH_VARIABLE, "")
    try:
        return max(float(text or LEAST_SECONDS), LEAST_SECONDS)
    except ValueError:
        raise UserErrorException(f"{REFRESH_VARIABLE} is a number of seconds, not {text!r}.") from None


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _readable(sections: dict[str, Section]) -> dict[str, Any]:
    charts = sections[CHARTS]
    curves = [{**curve, **{name: _column(curve[name]) for name in ("steps", "values")}} for curve in charts["curves"]]
    return {**sections, CHARTS: {**charts, "curves": curves}}


def _column(data: bytes) -> list[float]:
    return array("d", data).tolist()
