"""A progress bar for work that takes seconds, with a text about the present step."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from typing import Any

import ipywidgets

__all__ = ["Progress"]


class Progress:
    """A bar to show in a cell, and to pass as ``progress=`` to a measurement.

    Parameters
    ----------
    text : str
        The text beside the bar at first.

    Notes
    -----
    A call runs on the lab's own event loop, and only sets two values: nothing waits for
    the browser.

    Examples
    --------
    >>> bar = Progress()
    >>> bar(0.5, "half")
    >>> bar
    <Progress: 50 %, half>
    """

    def __init__(self, text: str = "") -> None:
        self._bar: Any = ipywidgets.FloatProgress(value=0.0, min=0.0, max=1.0)
        self._label: Any = ipywidgets.Label(value=text)
        self._box: Any = ipywidgets.HBox([self._bar, self._label])

    def __call__(self, share: float, text: str) -> None:
        """Show that this share of the work (0 to 1) is done, and the text of the next step."""
        self._bar.value = share
        self._label.value = text

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._box._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        return f"<Progress: {self._bar.value:.0%}, {self._label.value}>".replace("%", " %")
