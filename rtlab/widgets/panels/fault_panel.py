"""Sliders for the network between client and server, and a cable to pull."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import traitlets

from rtlab.errors import RtlabError
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.panels.active_faults_description import NOTHING, cables, delays, describe_faults, state_of
from rtlab.widgets.panels.copy_as_code_button import CopyAsCode
from rtlab.widgets.panels.panel_code_cells import faults_code
from rtlab.widgets.panels.polled_panel import PolledPanel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from rtlab.measure.recorder import Recorder
    from rtlab.widgets.panels.active_faults_description import Profile

__all__ = ["FaultPanel", "Faults", "Hand"]

#: Who moved the cable; ``"stopped"``: nobody, Stop was pressed.
Hand = Literal["reader", "script", "stopped"]

_LIMITS: Final = {"rtt": 300.0, "jitter": 100.0}
#: Name of the toxic that ``latency(ms)`` makes in the proxy; a slider changes this toxic in place.
_OWN_DELAY: Final = "latency_downstream"


class Faults(Protocol):
    """What the panel needs of ``lab.faults``."""

    @property
    def profiles(self) -> Mapping[str, Profile]: ...
    async def status(self) -> dict[str, Any]: ...
    def latency(self, ms: float, *, jitter: float = 0) -> Awaitable[object]: ...
    def profile(self, name: str) -> Awaitable[object]: ...
    def blackhole(self) -> Awaitable[object]: ...
    def remove(self, name: str) -> Awaitable[object]: ...
    def cut(self) -> Awaitable[object]: ...
    def restore(self) -> Awaitable[object]: ...


class FaultPanel(CopyAsCode, PolledPanel):
    """Breaks the network between client and server while a cell runs.

    Parameters
    ----------
    faults : Faults
        ``lab.faults`` of a lab that was started with ``faults=True``.
    recorder : Recorder, optional
        Gets a mark for each change, so that the plot shows it.

    Notes
    -----
    *Pull the cable* keeps connections open and lets nothing through, as a pulled cable does:
    neither end is told. *Cut once* resets every connection. A control changes its own
    fault and nothing else; *Restore* removes every fault.

    The panel reads its state from the proxy, so it also shows faults that a cell or a script
    has made. The browser asks for the state as long as the panel is visible.

    Examples
    --------
    In a notebook, the reader's hand or, where nobody acts, a scripted one::

        panel = FaultPanel(lab.faults)
        display(panel, plot)
        async with plot:
            hand = await panel.wait_for(pulled=True, patience=8, stop=plot.stopped)
    """

    _esm = page_files(
        "panel.js",
        "kernel_liveness.js",
        "keys_left_to_notebook.js",
        "poll_while_visible.js",
        "scroll_into_view.js",
        "faults.js",
    )
    _css = page_files("panel.css", "faults.css")

    silence = "the fault proxy does not answer: has the lab been stopped?"

    state = traitlets.Dict().tag(sync=True)
    profiles: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    request = traitlets.Unicode("").tag(sync=True)

    def __init__(self, faults: Faults, recorder: Recorder | None = None) -> None:
        known = faults.profiles
        profiles = [[name, known[name].title] for name in known]
        super().__init__(
            state=dict(NOTHING), profiles=profiles, status=describe_faults(NOTHING), code=faults_code(NOTHING)
        )
        self._known = known
        self._faults = faults
        self._recorder = recorder
        self._changing = asyncio.Lock()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return "FaultPanel()"

    async def look(self) -> None:
        """Show the proxy's present faults, whoever made them."""
        async with self._changing:  # what is being read by now may be older than this call
            await self._look()

    async def change(self, **wanted: Any) -> None:
        """Do what the controls do: ``rtt`` and ``jitter`` in ms, ``profile``, ``pulled``.

        Parameters
        ----------
        **wanted
            The settings to change; all others stay.
        """
        async with self._changing:  # each change builds on the one before
            await self._change(wanted)

    async def cut(self) -> None:
        """Reset every connection, once."""
        await self._faults.cut()
        self._note("every connection was cut")

    async def restore(self) -> None:
        """Remove every fault, also those of cells and scripts."""
        async with self._changing:
            await self._faults.restore()
            await self._look(mark=True)

    async def wait_for(self, *, pulled: bool, patience: float, stop: asyncio.Event | None = None) -> Hand:
        """Ask the reader to pull the cable, or to plug it in; after `patience` seconds, do it for them.

        Parameters
        ----------
        pulled : bool
            Whether the cable is to be pulled or plugged in. If it already is, the call returns at once.
        patience : float
            Seconds that the reader has; then the panel itself moves the cable.
        stop : asyncio.Event, optional
            Event that ends the wait, such as ``plot.stopped``; None: none does.

        Returns
        -------
        {"reader", "script", "stopped"}
            Who moved the cable; ``"stopped"`` if `stop` was set before.

        Raises
        ------
        RtlabError
            If the proxy does not carry it out.
        """
        await self.look()
        hand = "Pull the cable" if pulled else "Plug it in again"
        self.request = f"Your turn: {hand}. In {patience:.0f} s a scripted hand does."
        try:
            if await self._becomes(pulled, patience, stop):
                return "reader"
            if stop is not None and stop.is_set():
                return "stopped"
            moved = await self._told(self._move(pulled))
            if self.state["pulled"] == pulled:
                return "reader" if moved is False else "script"
            raise RtlabError(f"the cable cannot be moved: {self.status}; `await lab.faults.restore()` first")
        finally:
            self.request = ""

    async def _becomes(self, pulled: bool, patience: float, stop: asyncio.Event | None) -> bool:
        deadline = asyncio.get_running_loop().time() + patience
        while self.state["pulled"] != pulled and (stop is None or not stop.is_set()):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            self._changed.clear()
            events = [self._changed] if stop is None else [self._changed, stop]
            tasks = [asyncio.ensure_future(event.wait()) for event in events]
            try:
                await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return self.state["pulled"] == pulled

    async def _move(self, pulled: bool) -> bool:
        """Pull the cable or plug it in; return False if it is so already: the reader was faster."""
        async with self._changing:
            await self._look()
            if self.state["pulled"] == pulled:
                return False
            await self._change({"pulled": pulled})
            return True

    async def _change(self, wanted: Mapping[str, Any]) -> None:
        now = await self._faults.status()
        toxics = now["toxics"]
        try:
            if "profile" in wanted:
                await self._remove(delays(toxics))
                if wanted["profile"]:
                    await self._faults.profile(wanted["profile"])
            elif "rtt" in wanted or "jitter" in wanted:
                await self._delay({**state_of(now, self._known), **wanted}, delays(toxics))
            if wanted.get("pulled"):
                if not state_of(now, self._known)["pulled"]:
                    await self._faults.blackhole()
            elif "pulled" in wanted:
                await self._remove(cables(toxics))
        finally:
            await self._look(mark=True)

    async def _delay(self, state: Mapping[str, Any], former: list[str]) -> None:
        delayed = bool(state["rtt"] or state["jitter"])
        await self._remove(name for name in former if not delayed or name != _OWN_DELAY)
        if delayed:  # the whole round-trip time is added downstream: it delays pushes in full
            await self._faults.latency(state["rtt"], jitter=state["jitter"])

    async def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            await self._faults.remove(name)

    async def _look(self, *, mark: bool = False) -> None:
        state = state_of(await self._faults.status(), self._known)
        changed, self.state = state != self.state, state
        self.code = faults_code(state)
        if changed or mark or self._unreachable:
            self.say(describe_faults(state))
        if mark:
            self._note(self.status)
        if changed:
            self._changed.set()

    def _note(self, text: str) -> None:
        self.say(text)
        if self._recorder is not None:
            self._recorder.mark("fault", text)

    # From the browser

    async def act(self, content: dict[str, Any]) -> None:
        """Move a slider, the cable, or choose a network."""
        match content:
            case {"action": "cut"}:
                await self.cut()
            case {"action": "cable", "pulled": bool(pulled)}:  # what the button said: twice is no harm
                await self._move(pulled)
            case {"action": "restore"}:
                await self.restore()
            case {"set": dict(wanted)}:  # pyright: ignore[reportUnknownVariableType]
                await self.change(**self._checked(wanted))  # pyright: ignore[reportUnknownArgumentType]
            case _:
                pass  # a newer front end may send other messages

    def _checked(self, wanted: dict[str, Any]) -> dict[str, Any]:
        for name, value in wanted.items():
            if name == "profile" and any(value == known for known in ("", *self._known)):
                continue
            limit = _LIMITS.get(name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if limit is None or not number or not 0 <= value <= limit:
                raise ValueError(f"{name}: expected 0 to {limit or 'a known profile'}, got {value!r:.40}")
        return wanted
