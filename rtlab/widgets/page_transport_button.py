"""A button with which the page's own transports connect to the lab, to see what the reader's browser does."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

import anywidget
import traitlets

from rtlab.errors import RtlabError, describe
from rtlab.figures.chart_style.labels import readable
from rtlab.lab.page_origin_permission import let_page_in
from rtlab.widgets.browser_message_on_lab_loop import LoopCallback
from rtlab.widgets.join_javascript_and_css import page_files
from rtlab.widgets.page_unreachable_reason import why_out_of_reach

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["BrowserPage", "Numbers", "PageError", "RecordedPage"]

#: The numbers of a run, by the key of the row that shows them.
Numbers = dict[str, float]

#: Seconds that one step in the page may take: the page's own longest wait is 24 s.
_TIMEOUT: Final = 40.0


class PageError(RtlabError):
    """The page could not do a step; the message is the browser's own, or the likeliest reason."""


class RecordedPage(NamedTuple):
    """A recorded run, for readers whose page cannot reach the lab.

    Parameters
    ----------
    browser : str
        The browser and the date, as in ``"Chromium 156, recorded 2026-11-26"``.
    page, python : dict
        The numbers of the browser, and of the Python client that ran beside it.
    """

    browser: str
    page: Numbers
    python: Numbers


class BrowserPage(anywidget.AnyWidget):
    """Runs the page's own transports against a lab, when the panel's button is pressed.

    Parameters
    ----------
    lab : Lab
        A lab with a fault proxy. From a click on, it accepts exactly the page's origin, until `close` or
        until it stops.
    run : callable
        Coroutine function for a run. It gets this panel, calls `ask`, and passes numbers to `found`.
    rows : mapping of str to str
        Key → text of the row, with its unit.
    recorded : RecordedPage
        Shown beside a run of the reader's own, and instead of it while there is none.

    Attributes
    ----------
    page, python : dict
        The numbers of the page and of the Python client: of the reader's own run once one has finished,
        else of the recorded run.
    source : str
        Which browser the numbers in `page` are from.

    Notes
    -----
    Keys: Tab to the button, Enter or Space. The status is read out by screen readers. Nothing runs
    without a click; where nobody clicks, or no browser is open, cells below have the recorded run.

    Examples
    --------
    In a notebook::

        panel = browser_transports(lab)
        panel
    """

    _esm = page_files("panel.js", "kernel_liveness.js", "keys_left_to_notebook.js", "page.js")
    _css = page_files("panel.css", "page.css")

    running = traitlets.Bool(False).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    tone = traitlets.Enum(("quiet", "bad"), "quiet").tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    #: The heads of the columns, then the rows, as text.
    table: Any = traitlets.List().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]

    def __init__(
        self,
        lab: Lab,
        run: Callable[[BrowserPage], Awaitable[None]],
        rows: Mapping[str, str],
        recorded: RecordedPage,
    ) -> None:
        super().__init__()
        self.lab = lab
        self._run = run
        self._rows = dict(rows)
        self._recorded = recorded
        self._own: dict[str, Numbers] = {}
        self._finished = False
        self._view = ""
        self._let_in = False
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_loop = LoopCallback()
        self.on_msg(self._from_any_thread)
        self.status = "Nothing has run here: the table shows a recorded run."
        self._show()

    def __repr__(self) -> str:
        return f"BrowserPage({self.source})"

    @property
    def source(self) -> str:
        """Which browser the numbers in `page` are from."""
        return "this browser" if self._finished else self._recorded.browser

    @property
    def page(self) -> Numbers:
        """The browser's numbers, by the row's key."""
        return dict(self._own["page"] if self._finished else self._recorded.page)

    @property
    def python(self) -> Numbers:
        """The Python client's numbers, by the row's key."""
        return dict(self._own["python"] if self._finished else self._recorded.python)

    def found(self, who: Literal["page", "python"], **numbers: float) -> None:
        """Show numbers of the page or of the Python client, by the rows' keys."""
        # As numbers: a page may answer with anything, and what is no number could not be shown.
        self._own.setdefault(who, {}).update({key: float(number) for key, number in numbers.items()})
        self._show()

    def say(self, text: str, tone: str = "quiet") -> None:
        """Show a sentence, which a screen reader reads out."""
        self.status, self.tone = text, tone

    async def ask(self, step: str, **args: Any) -> dict[str, Any]:
        """Let the page whose button was pressed do one step.

        Parameters
        ----------
        step : str
            Name of a step in ``js/page.js``.
        **args
            Arguments of the step.

        Returns
        -------
        dict
            What the step returned.

        Raises
        ------
        PageError
            If the step failed, or the page did not answer within 40 s.
        """
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self.send({"kind": "ask", "id": number, "view": self._view, "step": step, "args": args})
            async with asyncio.timeout(_TIMEOUT):
                return await answer
        except TimeoutError:
            raise PageError(f"the page gave no answer for {_TIMEOUT:g} s: is it still open?") from None
        finally:
            del self._answers[number]

    async def settled(self) -> None:
        """Wait until all work that was asked for has been done."""
        await asyncio.sleep(0)  # the work that `close` asks for begins in this loop turn
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Stop a run, no longer accept the page's origin, and remove the panel from the page."""
        self._stop()
        if self._let_in:
            self._let_in = False
            self._on_loop(self._begin, self._let_nobody_in())
        super().close()

    # From the page

    def _from_any_thread(self, _widget: object, content: object, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_loop(self._receive, cast("dict[str, Any]", content))

    def _receive(self, content: dict[str, Any]) -> None:
        match content:
            case {"action": "run", "view": str(view), "origin": str(origin)} if not self.running:
                self._view = view
                self.running = True
                self._begin(self._whole_run(origin[:300]))
            case {"action": "stop"}:
                self._stop()
            case {"action": "answer", "id": int(number), "value": dict()}:
                self._answered(number, content["value"], None)
            case {"action": "answer", "id": int(number), "error": str(text)}:
                self._answered(number, None, PageError(text[:500]))
            case _:
                pass  # a newer page may send other messages

    def _answered(self, number: int, value: dict[str, Any] | None, error: PageError | None) -> None:
        answer = self._answers.get(number)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    # On the lab's loop

    def _begin(self, work: Any) -> None:
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:
            work.close()  # the lab's loop has ended, and the lab with it
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self) -> None:
        if self.running:
            for task in self._tasks:
                task.cancel()

    async def _let_nobody_in(self) -> None:
        with contextlib.suppress(RtlabError):  # the lab has stopped, and accepts no page
            await let_page_in(self.lab, None)

    async def _whole_run(self, origin: str) -> None:
        self._own, self._finished = {}, False
        self._show()
        try:
            await self._checked_run(origin)
        except asyncio.CancelledError:
            self.say("stopped: the table shows how far it came; cells below have the recorded run")
            raise
        except Exception as error:  # also a KeyError, of an answer that lacks what the run reads from it
            text = str(error) if isinstance(error, (RtlabError, OSError)) else ""
            self.say(f"{text or describe(error)}. The recorded run stands in the table.", "bad")
        finally:
            self.running = False
            self._show()
            self.send({"kind": "ask", "id": 0, "view": self._view, "step": "end", "args": {}})

    async def _checked_run(self, origin: str) -> None:
        if origin == "null":
            raise PageError(why_out_of_reach({"origin": origin}))
        self.say(f"letting pages of {origin} in …")
        self._let_in = True
        await let_page_in(self.lab, origin)
        reached = await self.ask("reach", url=self.lab.url)
        if not reached.get("reached"):
            raise PageError(f"out of reach: {why_out_of_reach(reached)}")
        self.say("running: some ten seconds, in which a browser waits three before it comes back …")
        await self._run(self)
        self._finished = True
        self.say(f"done. Until this panel is closed, or the lab stops, pages of {origin} may use this lab.")

    def _show(self) -> None:
        recorded = self._recorded
        columns: list[tuple[str, Numbers]] = [(recorded.browser, recorded.page)]
        if self._own:
            mine = self._own
            columns = [
                ("this browser", mine.get("page", {})),
                ("Python client", mine.get("python", {})),
                *columns,
            ]
        else:
            columns.append(("Python client, recorded", recorded.python))
        table = [["", *(name for name, _ in columns)]]
        for key, says in self._rows.items():
            cells = [readable(numbers[key]) if key in numbers else "–" for _, numbers in columns]
            table.append([says, *cells])
        self.table = table
        self.caption = "The same lab, the same faults; – stands for what was not run."
