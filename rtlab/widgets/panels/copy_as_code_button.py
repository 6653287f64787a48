"""The button *Copy as code* of panels: shows the cell that does what the panel's controls are set to."""

from __future__ import annotations

from typing import Any, Final

import traitlets

__all__ = ["CopyAsCode", "call_as_code"]

_WIDTH: Final = 88


class CopyAsCode(traitlets.HasTraits):
    """The kernel's side of a widget with the button *Copy as code*.

    Set `code` whenever a setting changes. In the page, ``copyAsCode(model)`` of ``panel.js`` makes the
    button, and the text, which can be selected where the page may not use the clipboard.

    Attributes
    ----------
    code : str
        Python source for a notebook's cell; it may await. Empty as long as there is nothing to copy.

    Examples
    --------
    ::

        class FaultPanel(CopyAsCode, anywidget.AnyWidget):
            _esm = page_files("panel.js", "kernel_liveness.js", "keys_left_to_notebook.js", "faults.js")
            _css = page_files("panel.css", "faults.css")
    """

    code: Any = traitlets.Unicode("").tag(sync=True)


def call_as_code(function: str, *arguments: str, **options: Any) -> str:
    """Return a call as source text: on one line, or if that is too long, with one argument per line.

    Parameters
    ----------
    function : str
        The function, as source text.
    *arguments : str
        Positional arguments, as source text.
    **options : any
        Values of keyword arguments. Give only those that differ from the default.

    Examples
    --------
    >>> print(call_as_code("WireTimeline", "replay", speed=2.0))
    WireTimeline(replay, speed=2.0)
    """
    parts = [*arguments, *(f"{name}={value!r}" for name, value in options.items())]
    line = f"{function}({', '.join(parts)})"
    if len(line) <= _WIDTH or not parts:
        return line
    return "\n".join([f"{function}(", *(f"    {part}," for part in parts), ")"])
