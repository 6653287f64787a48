"""A panel that its view polls: it reads its state on request, and carries out the reader's commands.

The browser polls only while the panel is visible. So a panel needs no task of its own, and costs
nothing in a notebook that is not visible.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, ClassVar, Final, TypeVar, cast

import anywidget
import traitlets

from rtlab.errors import RtlabError, describe
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback

__all__ = ["PolledPanel"]

_TIMEOUT: Final = 5.0

T = TypeVar("T")


class PolledPanel(anywidget.AnyWidget):
    """Answers polls and carries out the reader's commands, on the event loop on which it was made.

    Subclasses implement `look`, which shows the present state, and `act`, which handles all other
    messages of the browser. An error of either becomes the panel's status; so does a timeout of
    five seconds.

    Attributes
    ----------
    silence : str
        The status when `look` fails or gets no answer in time.
    """

    silence: ClassVar[str] = "no answer"

    status = traitlets.Unicode("").tag(sync=True)
    tone = traitlets.Enum(("quiet", "bad"), "quiet").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._on_loop = LoopCallback()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unreachable = False
        self.on_msg(self._from_any_thread)

    async def settled(self) -> None:
        """Wait until all work that was asked for has been done."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def look(self) -> None:
        """Show the present state, whoever changed it."""
        raise NotImplementedError

    async def act(self, content: dict[str, Any]) -> None:
        """Carry out a reader's command; ignore an unknown one, which a newer page may send.

        Parameters
        ----------
        content : dict
            The browser's message: nothing in it is checked yet.
        """
        raise NotImplementedError

    def say(self, text: str, tone: str = "quiet") -> None:
        """Show a sentence, which a screen reader reads out."""
        self.status, self.tone = text, tone

    def _from_any_thread(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, content: dict[str, Any]) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the lab's loop has ended, and what the panel shows with it
        looks = content.get("action") == "look"
        task = loop.create_task(self._answer_look() if looks else self._obey(content))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _obey(self, content: dict[str, Any]) -> None:
        await self._told(self.act(content))

    async def _told(self, work: Awaitable[T]) -> T | None:
        """Await some work, and return its result; an error becomes the status, and the result None."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await work
        except (RtlabError, ValueError, OSError, TimeoutError) as error:
            self.say(f"that did not work: {str(error) or self.silence or describe(error)}", "bad")

    async def _answer_look(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self.look()
            self._unreachable = False
        except (RtlabError, OSError, TimeoutError):
            self._unreachable = True
            self.say(self.silence, "bad")
        finally:
            self.send({"kind": "looked"})
