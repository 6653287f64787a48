"""The sliders of the batching explorer, the model's curve, and the same setting as code."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import anywidget
import traitlets

from rtlab.models.batching import batch_delay, batch_size
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.panels.copy_as_code_button import CopyAsCode

__all__ = ["CHOICES", "BatchingPanel", "code_of"]

#: What each slider can be set to: messages per second, B, T in ms, and the round trip in ms.
CHOICES: Final[Mapping[str, Sequence[int]]] = {
    "rate": (5, 10, 20, 50, 100, 200, 500, 1000, 2000),
    "size": (1, 2, 5, 10, 20, 50, 100, 200),
    "wait": (1, 2, 5, 10, 20, 50, 100, 200, 500),
    "rtt": (0, 10, 20, 50, 100, 200, 300),
}
#: Values of T in ms at which the curve is computed: 61 of them, evenly spaced on a logarithmic axis.
_CURVE: Final = tuple(1.0 * 500 ** (n / 60) for n in range(61))
_SECONDS: Final = 3


def code_of(settings: Mapping[str, int]) -> str:
    """Return the cell that measures one setting without the explorer.

    Parameters
    ----------
    settings : mapping
        ``rate``, ``size``, ``wait`` and ``rtt``, as the sliders have them.

    Returns
    -------
    str
        Python, for a notebook's cell.

    Examples
    --------
    >>> print(code_of({"rate": 200, "size": 10, "wait": 50, "rtt": 0}).splitlines()[-1])
    batcher.stats.messages_per_batch, run.latency.mean()
    """
    rate, size, wait, rtt = (settings[name] for name in ("rate", "size", "wait", "rtt"))
    count = max(50, _SECONDS * rate)
    return f"""from rtlab import Lab, MessageBatcher, WebSocketConnection
from rtlab.measure.load_generator import poisson_times, send_on_schedule

async with Lab(faults=True) as own, own.faults.rtt({rtt}), WebSocketConnection(own.faults.ws_url) as conn:
    async with MessageBatcher(conn, batch_size={size}, flush_interval={wait / 1000:g}) as batcher:
        run = await send_on_schedule(conn, poisson_times(rate={rate}, count={count}), batcher.send)
batcher.stats.messages_per_batch, run.latency.mean()"""


class BatchingPanel(CopyAsCode, anywidget.AnyWidget):
    """Sliders for rate, B, T and round trip; the model's delay as a curve over T, with the present setting.

    Parameters
    ----------
    settings : mapping
        Initial values of the sliders, from `CHOICES`.
    changed : callable
        Called with the new settings, on the event loop that was running when the panel was made.

    Notes
    -----
    Keys: Tab from slider to slider, the arrows change one, Home and End go to its ends.
    """

    _esm = page_files(
        "panel.js", "axis_ticks.js", "kernel_liveness.js", "keys_left_to_notebook.js", "batching.js"
    )
    _css = page_files("panel.css", "batching.css")

    choices = traitlets.Dict().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)
    model = traitlets.Dict().tag(sync=True)
    found = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("not running").tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        settings: Mapping[str, int],
        changed: Callable[[Mapping[str, int]], object] = lambda settings: None,
    ) -> None:
        super().__init__(choices={name: list(values) for name, values in CHOICES.items()})
        self._told = changed
        self._on_loop = LoopCallback()
        self.apply({name: settings[name] for name in CHOICES})
        self.on_msg(self._from_any_thread)

    def apply(self, wanted: Mapping[str, object]) -> None:
        """Set sliders, as the reader does in the browser.

        Parameters
        ----------
        wanted : mapping
            Some of ``rate``, ``size``, ``wait``, ``rtt``: values of `CHOICES`.

        Raises
        ------
        ValueError
            For any other name or value; nothing is changed then.
        """
        for name, value in wanted.items():
            if name not in CHOICES or isinstance(value, bool) or value not in CHOICES[name]:
                known = ", ".join(map(str, CHOICES.get(name, CHOICES)))
                raise ValueError(f"{name}: expected one of {known}, got {value!r:.40}")
        settings = cast("dict[str, int]", {**self.settings, **wanted})
        rate, size, wait = (settings[name] for name in ("rate", "size", "wait"))
        with self.hold_sync():
            self.settings = settings
            self.found = {}
            self.model = {
                "curve": [[ms, 1000 * batch_delay(rate, ms / 1000, size)] for ms in _CURVE],
                "delay_ms": 1000 * batch_delay(rate, wait / 1000, size),
                "per_frame": batch_size(rate, wait / 1000, size),
                "frames_per_s": rate / batch_size(rate, wait / 1000, size),
            }
            self.code = code_of(settings)
        self._told(settings)

    def show(self, counts: Mapping[str, float]) -> None:
        """Show the measured numbers; one that is not known yet (not finite) is left out."""
        self.found = {name: value for name, value in counts.items() if math.isfinite(value)}

    def __repr__(self) -> str:
        rate, size, wait, rtt = (self.settings[name] for name in CHOICES)
        return f"BatchingPanel(rate={rate}/s, B={size}, T={wait} ms, round trip {rtt} ms)"

    def _from_any_thread(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, content: dict[str, Any]) -> None:
        wanted = content.get("set")
        if not isinstance(wanted, dict):
            return  # a newer front end may send other messages
        try:
            self.apply(cast("dict[str, object]", wanted))
        except (ValueError, TypeError) as error:
            self.status = f"that did not work: {error}"
