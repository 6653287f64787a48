"""Sliders for the network between client and server, and a cable to pull."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import anywidget
import traitlets

from rtlab.errors import RtlabError
from rtlab.widgets.loop_callback import LoopCallback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from rtlab.measure.recorder import Recorder

__all__ = ["FaultPanel", "Faults"]

_HERE: Final = Path(__file__).parent / "js"
_LIMITS: Final = {"rtt": 300.0, "jitter": 100.0}
_TIMEOUT: Final = 5.0


class _Titled(Protocol):
    @property
    def title(self) -> str: ...


class Faults(Protocol):
    """What the panel needs of ``lab.faults``."""

    def latency(self, ms: float, *, jitter: float = 0) -> Awaitable[object]: ...
    def profile(self, name: str) -> Awaitable[object]: ...
    @property
    def profiles(self) -> Mapping[str, _Titled]: ...
    def blackhole(self) -> Awaitable[object]: ...
    def cut(self) -> Awaitable[object]: ...
    def restore(self) -> Awaitable[object]: ...


class FaultPanel(anywidget.AnyWidget):
    """Breaks the network between client and server while a cell runs.

    Parameters
    ----------
    faults : Faults
        ``lab.faults`` of a lab that was started with ``faults=True``.
    recorder : Recorder, optional
        Gets a mark for each change, so that the plot shows it.

    Notes
    -----
    *Pull the cable* keeps connections open and lets nothing through, as a cable does:
    no end hears of it. *Cut once* resets every connection. Each change replaces the one before.

    Examples
    --------
    In a notebook::

        panel = FaultPanel(lab.faults, recorder)
        display(panel, plot)
    """

    _esm = (_HERE / "faults.js").read_text("utf-8")
    _css = (_HERE / "faults.css").read_text("utf-8")

    state = traitlets.Dict().tag(sync=True)
    profiles: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
    status = traitlets.Unicode("nothing is in the way").tag(sync=True)
    tone = traitlets.Enum(("quiet", "bad"), "quiet").tag(sync=True)

    def __init__(self, faults: Faults, recorder: Recorder | None = None) -> None:
        known = {name: profile.title for name, profile in faults.profiles.items()}
        super().__init__(state=_fresh(), profiles=[list(item) for item in known.items()])
        self._profiles = {"", *known}
        self._faults = faults
        self._recorder = recorder
        self._on_loop = LoopCallback()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_msg(self._from_any_thread)

    def __repr__(self) -> str:
        return "FaultPanel()"

    async def settled(self) -> None:
        """Return when every change that was asked for has been made."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def change(self, **wanted: Any) -> None:
        """Do what the controls do: ``rtt`` and ``jitter`` in ms, ``profile``, ``pulled``.

        Parameters
        ----------
        **wanted
            What is to change; the rest stays.
        """
        await self._change(lambda state: wanted)

    async def _change(self, choose: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        async with self._changing:  # each change builds on the one before
            former = dict(self.state)
            wanted = choose(former)
            state = former | wanted
            if wanted.get("profile"):
                state |= {"rtt": 0, "jitter": 0}
            elif "rtt" in wanted or "jitter" in wanted:
                state["profile"] = ""
            await self._faults.restore()
            try:
                await self._cause(state)
            except BaseException:
                self.state = _fresh()  # which is what the network is like now, or nearly
                raise
            self.state = state
            self._say(_describe(state))

    async def _cause(self, state: dict[str, Any]) -> None:
        if state["profile"]:
            await self._faults.profile(state["profile"])
        elif state["rtt"] or state["jitter"]:
            # The whole round trip on the way back: pushes are delayed by all of it.
            await self._faults.latency(state["rtt"], jitter=state["jitter"])
        if state["pulled"]:
            await self._faults.blackhole()

    async def cut(self) -> None:
        """Reset every connection, once."""
        await self._faults.cut()
        self._say("every connection was cut")

    def _say(self, text: str) -> None:
        self.status, self.tone = text, "quiet"
        if self._recorder is not None:
            self._recorder.mark("fault", text)

    # From the browser

    def _from_any_thread(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, content: dict[str, Any]) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the lab's loop has ended, and its faults with it
        task = loop.create_task(self._obey(content))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _obey(self, content: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                match content:
                    case {"action": "cut"}:
                        await self.cut()
                    case {"action": "cable"}:
                        await self._change(lambda state: {"pulled": not state["pulled"]})
                    case {"action": "restore"}:
                        await self.change(**_fresh())
                    case {"set": dict(wanted)}:  # pyright: ignore[reportUnknownVariableType]
                        await self.change(**self._checked(wanted))  # pyright: ignore[reportUnknownArgumentType]
                    case _:
                        pass  # a newer front end may say more
        except (RtlabError, ValueError, OSError, TimeoutError) as error:
            self.tone = "bad"
            self.status = f"that did not work: {error or 'the proxy does not answer'}"

    def _checked(self, wanted: dict[str, Any]) -> dict[str, Any]:
        for name, value in wanted.items():
            if name == "profile" and any(value == known for known in self._profiles):
                continue
            limit = _LIMITS.get(name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if limit is None or not number or not 0 <= value <= limit:
                raise ValueError(f"{name}: expected 0 to {limit or 'a known profile'}, got {value!r:.40}")
        return wanted


def _fresh() -> dict[str, Any]:
    return {"rtt": 0, "jitter": 0, "profile": "", "pulled": False}


def _describe(state: dict[str, Any]) -> str:
    if state["pulled"]:
        return "the cable is pulled: nothing passes, and nobody is told"
    if state["profile"]:
        return f"network: {state['profile']}"
    if state["rtt"] or state["jitter"]:
        return f"delayed by {state['rtt']:g} ± {state['jitter']:g} ms"
    return "nothing is in the way"
