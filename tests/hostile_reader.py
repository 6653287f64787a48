"""A notebook in the hands of a hostile reader: ``python -m tests.hostile_reader NN_name…``.

One kernel, no browser, a tenth of the pace, three plays after each other:

1. All cells from the top.
2. All of them again, but each cell that took over 0.5 s is interrupted in its middle, and the reader
   goes on.
3. After the last cell, each experiment's cells again and whole, the last experiment first.

Right means: every verdict row equals the published one (rows that judge timing are not compared), or
is still pending where its run was interrupted, or one of our errors says what to run again; what it
names is run then, and mends it. A measurement may refuse a machine that is too busy for it. Nothing
may be left behind that was not there in the first play: no lab, connection, task, child process, or
fault in the proxy.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import asyncio
import html
import json
import math
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from rtlab.notebook.missing_names import names_made
from tests.kernel_ports import kernel_ports
from tests.plugins.marks import COLD as STARTED_COLD
from tests.refusals import Refusals, names_read
from tests.warm_start import COLD

__all__ = ["NOTEBOOKS", "play"]

ROOT: Final = Path(__file__).resolve().parent.parent
NOTEBOOKS: Final = ROOT / "notebooks"
PACE: Final = "0.1"
#: Cells that take longer are interrupted in their middle.
LONG: Final = 0.5
#: Seconds for a cell, for the kernel to start, for an interrupt to be obeyed, and for things to end.
TIMEOUT: Final = 90.0
START: Final = 60.0
OBEYED: Final = 10.0
PATIENCE: Final = 3.0

_BODY: Final = re.compile(r"<tbody>(.*?)</tbody>", re.DOTALL)
_CLAIM: Final = re.compile(r'<th scope="row">(.*?)(<small.*?)?</th>.*?data-verdict="(\w+)"', re.DOTALL)
_INTERRUPTED: Final = ("CancelledError", "KeyboardInterrupt")
#: What a cell says whose interrupt met a child that was just being started: it still belongs to the kernel's
#: process group then.
_STARTING: Final = "was killed by SIGINT"
#: What Python prints when an interrupt falls into a finalizer or a callback of a weak reference.
_SWALLOWED: Final = re.compile(r"\AException ignored in: .*\bKeyboardInterrupt:?\s*\Z", re.DOTALL)
#: What is printed when an interrupt falls beside the cell's own lines: into IPython's showing of an error,
#: which is then not shown, or into ipykernel before the first line.
_BESIDE: Final = re.compile(
    r"\A\s*KeyboardInterrupt\s*\Z|coroutine 'InteractiveShell\.run_cell_async' was never awaited"
)
#: A cell that starts a lab for those after it.
_LAB: Final = re.compile(r"^\w+ = await (?:Lab|BreakableCluster)\.start\(", re.MULTILINE)
#: How an error of ours says what to run.
_REMEDY: Final = re.compile(r"\bagain\b|Lab\.start")
_ITSELF: Final = re.compile(r"\brun (?:the|this) cell again\b")


class Row(NamedTuple):
    """A claim as a table shows it."""

    verdict: str
    timing: bool


class Cell(NamedTuple):
    """A code cell and what its published outputs say."""

    place: int
    section: int
    source: str
    rows: dict[str, Row]
    error: bool
    stderr: bool


class Ran(NamedTuple):
    """What became of a cell."""

    rows: dict[str, Row]
    error: str
    message: str
    stderr: str
    stdout: str
    seconds: float
    interrupted_at: float | None


def rows_of(output: Any) -> dict[str, Row]:
    """Return the verdict rows that an output shows, by the claim's text."""
    text = output.get("data", {}).get("text/html", "")
    bodies = _BODY.findall("".join(text))
    found = [match.groups() for body in bodies if (match := _CLAIM.search(body))]
    plain = re.compile(r"<[^>]+>")
    return {
        html.unescape(plain.sub("", words)).strip(): Row(verdict, bool(small))
        for words, small, verdict in found
    }


def cells_of(path: Path) -> list[Cell]:
    """Return a notebook's code cells; a section ends where a heading stands."""
    found: list[Cell] = []
    section = 0
    notebook: Any = nbformat.read(path, as_version=4)
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            section += bool(re.search(r"^#{1,6}\s", cell.source, re.MULTILINE))
        elif cell.cell_type == "code" and cell.source.strip():
            rows: dict[str, Row] = {}
            for output in cell.outputs:
                rows |= rows_of(output)
            kinds = {output.get("name", output.output_type) for output in cell.outputs}
            found.append(Cell(place, section, cell.source, rows, "error" in kinds, "stderr" in kinds))
    return found


class Kernel:
    """A kernel that runs cells, and can be interrupted meanwhile."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient) -> None:
        self._manager = manager
        self._client = client

    async def run(self, code: str, *, interrupt_after: float | None = None, quiet: bool = False) -> Ran:
        """Run a cell; send an interrupt after some seconds if it runs that long.

        They count from when the kernel has begun with it: on a busy machine that is later than asked,
        and an interrupt before the cell's first line would fall into ipykernel.
        """
        asked = self._client.execute(code, store_history=not quiet, stop_on_error=False, allow_stdin=False)
        began = time.monotonic()
        due = math.inf
        interrupted_at: float | None = None
        rows: dict[str, Row] = {}
        said = {"stdout": "", "stderr": ""}
        error = message = ""
        while True:
            now = time.monotonic() - began
            if interrupted_at is None and now >= due:
                await self._manager.interrupt_kernel()
                interrupted_at = now
            limit = TIMEOUT if interrupted_at is None else interrupted_at + OBEYED
            if now > limit:
                raise TimeoutError(
                    f"ran for {now:.0f} s" + (" and obeyed no interrupt" * bool(interrupted_at))
                )
            waits = (limit if interrupted_at is not None else min(limit, due)) - now
            try:
                heard = await self._client.get_iopub_msg(timeout=max(waits, 0.001))
            except Exception as empty:  # queue.Empty, as jupyter_client raises it
                if type(empty).__name__ != "Empty":
                    raise
                continue
            if heard["parent_header"].get("msg_id") != asked:
                continue
            content = heard["content"]
            match heard["msg_type"]:
                case "execute_input":
                    began = time.monotonic()
                    due = math.inf if interrupt_after is None else interrupt_after
                case "stream":
                    said[content["name"]] += content["text"]
                case "error":
                    error, message = content["ename"], content["evalue"]
                case "execute_result" | "display_data" | "update_display_data":
                    rows |= rows_of(content)
                case "status" if content["execution_state"] == "idle":
                    seconds = time.monotonic() - began
                    return Ran(rows, error, message, said["stderr"], said["stdout"], seconds, interrupted_at)
                case _:
                    pass

    async def ask(self, call: str) -> Any:
        """Call something of `tests.hostile_census` in the kernel; return the JSON that it prints."""
        ran = await self.run(call.format("__import__('sys').modules['tests.hostile_census']"), quiet=True)
        if ran.error:
            raise RuntimeError(f"{call}: {ran.error}: {ran.message}")
        return json.loads(ran.stdout) if ran.stdout else None

    async def census(self, allowed: Counter[str], patience: float) -> Counter[str]:
        """Count what lives in the kernel, once it is no more than `allowed`."""
        words = json.dumps(dict(allowed)).replace("{", "{{").replace("}", "}}")
        return Counter(await self.ask(f"await {{}}.report({words}, {patience})"))


@asynccontextmanager
async def kernel(*, cold: bool) -> AsyncGenerator[Kernel]:
    """Start a kernel in the notebooks' folder, at the reader's pace; `cold` is for its servers."""
    manager = AsyncKernelManager(kernel_name="python3", **kernel_ports())
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), env.get("PYTHONPATH", ""))))
    env |= {COLD: "1"} if cold else {}
    await manager.start_kernel(cwd=str(NOTEBOOKS), env=env | {"RTLAB_PACE": PACE}, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=START)
        started = Kernel(manager, client)
        await started.run(
            "import tests.hostile_census; tests.hostile_census.prepare(); del tests", quiet=True
        )
        yield started
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


class Reader:
    """Plays with one notebook, and notes what went wrong."""

    def __init__(self, path: Path, kernel: Kernel) -> None:
        self.cells = cells_of(path)
        self.faults: list[str] = []
        self.seconds: dict[str, float] = {}
        self._kernel = kernel
        self._ours: set[str] = set()
        self._start: Counter[str] = Counter()
        self._after: dict[int, Counter[str]] = {}  # what lived after each cell in the first play
        self._took: dict[int, float] = {}
        self._leaked: Counter[str] = Counter()
        self._refusals = Refusals()
        self._unjudged: set[str] = set()  # claims whose measurement was refused
        self._interrupted: list[Cell] = []
        self._remedies: Counter[str] = Counter()  # what the cells leave that an error of ours made us run
        self._final: dict[str, str] = {}
        for cell in self.cells:
            self._final |= {text: row.verdict for text, row in cell.rows.items() if not row.timing}

    async def play(self) -> list[str]:
        """Play all three; return the faults, a line each."""
        self._ours = set(await self._kernel.ask("{}.error_names()"))
        self._start = await self._kernel.census(Counter(), 0)
        for play in (self._first, self._interrupting, self._afterwards):
            began = time.monotonic()
            try:
                await play()
            except TimeoutError:
                break  # noted; the kernel cannot be used any more
            self.seconds[play.__name__.strip("_")] = time.monotonic() - began
        return self.faults

    @property
    def _lab_cell(self) -> Cell | None:
        return next((cell for cell in self.cells if _LAB.search(cell.source)), None)

    # The plays

    async def _first(self) -> None:
        before = self._start
        for cell in self.cells:
            ran = await self._run("first run", cell)
            self._took[cell.place] = ran.seconds
            self._judge("first run", cell, ran)
            before = self._after[cell.place] = await self._kernel.census(before, 0.1)
        await self._leaks("first run", "the last cell", self._start)

    async def _interrupting(self) -> None:
        """Run all again, each longer cell only to its middle; what follows then says so, or is right."""
        play = "interrupted"
        for cell in self.cells:
            long = self._took[cell.place] > LONG
            ran = await self._run_or_recover(play, cell, interrupt=long)
            if ran.interrupted_at is None:
                self._judge(play, cell, ran, pending=True)
            elif ran.error and ran.error not in _INTERRUPTED and not ran.message.endswith(_STARTING):
                self._note(play, cell, f"the interrupt ends it with {ran.error}: {ran.message}")
            elif ran.stderr and not cell.stderr and not _SWALLOWED.match(ran.stderr):
                self._note(play, cell, f"the interrupt brings {ran.stderr.strip()[-300:]!r}")
            if ran.interrupted_at is not None and ran.error:
                self._interrupted.append(cell)
            await self._leaks(play, f"cell {cell.place}{', interrupted' * long}", self._after[cell.place])
        await self._leaks(play, "the last cell", self._start)

    async def _afterwards(self) -> None:
        """Run each experiment whole once more, the last first."""
        play = "after the last"
        self._remedies.clear()
        *_, last = self.cells
        experiments = {
            cell.section
            for cell in self.cells
            if not _LAB.search(cell.source) and (".found(" in cell.source or self._took[cell.place] > LONG)
        }
        for section in sorted(experiments, reverse=True):
            for cell in self.cells:
                if cell.section == section and not _LAB.search(cell.source) and cell is not last:
                    self._judge(play, cell, await self._run_or_recover(play, cell), pending=True)
                    # a lab that a later section asked for lives on in the sections before its cell
                    allowed = self._after[cell.place] | self._remedies
                    await self._leaks(play, f"cell {cell.place}", allowed)
        for text, verdict in (await self._kernel.ask("{}.claims(globals())")).items():
            if verdict not in ("pending", self._final.get(text, verdict)):
                self.faults.append(f"{play}: {text!r}: {verdict}, published {self._final[text]}")
        for cell in filter(None, [self._lab_cell, last]):
            self._judge(play, cell, await self._run(play, cell), pending=True)
            await self._leaks(play, f"cell {cell.place}", self._after[cell.place])

    # One cell

    async def _run(self, play: str, cell: Cell, *, interrupt: bool = False) -> Ran:
        try:
            return await self._kernel.run(
                cell.source, interrupt_after=self._took[cell.place] / 2 if interrupt else None
            )
        except TimeoutError as error:
            self._note(play, cell, str(error))
            raise

    async def _run_or_recover(self, play: str, cell: Cell, *, interrupt: bool = False) -> Ran:
        """Run a cell; when one of our errors says what to run again, do that first."""
        ran = await self._run(play, cell, interrupt=interrupt)
        if ran.interrupted_at is not None and not ran.error and _BESIDE.search(ran.stderr):
            ran = await self._run(play, cell)
        ours = ran.error in self._ours and _REMEDY.search(ran.message)
        if not ours or cell.error:
            return ran
        wanted = [self._lab_cell] if "Lab.start" in ran.message else self._cut_short(cell)
        if _ITSELF.search(ran.message):
            wanted = []
        for other in filter(None, wanted):
            self._judge(play, other, await self._run(play, other), pending=True)
            self._remedies |= self._after[other.place]
        return await self._run(play, cell, interrupt=interrupt)

    def _cut_short(self, cell: Cell) -> list[Cell]:
        """Return the cell whose interruption a later one complains of.

        That is the last one which makes a name that the later one reads; where none does, because the run
        only fills what stood there before, simply the last one.
        """
        reads = names_read(cell.source)
        makers = [one for one in self._interrupted if not reads.isdisjoint(names_made(one.source))]
        return (makers or self._interrupted)[-1:]

    # What is right

    def _judge(self, play: str, cell: Cell, ran: Ran, *, pending: bool = False) -> None:
        if self._refusals.excuse(cell.source, ran.error, ran.message):
            self._unjudged |= cell.rows.keys()
            return
        self._unjudged -= {text for text, row in ran.rows.items() if row.verdict != "pending"}
        if ran.error and not cell.error:
            silent = ran.error in self._ours and not _REMEDY.search(ran.message)
            advice = " (does not say what to run again)" if silent else ""
            self._note(play, cell, f"{ran.error}: {ran.message}{advice}")
            return
        if ran.stderr and not cell.stderr:
            self._note(play, cell, f"on stderr: {ran.stderr.strip()[-300:]!r}")
        for text, row in ran.rows.items():
            known = cell.rows.get(text)
            if row.timing or known == row or (row.verdict == "pending" and text in self._unjudged):
                continue
            if pending and (row.verdict == "pending" or row.verdict == self._final.get(text)):
                continue
            self._note(
                play, cell, f"{text!r}: {row.verdict}, published {known.verdict if known else 'nothing'}"
            )
        for text in () if pending else cell.rows.keys() - ran.rows.keys():
            self._note(play, cell, f"{text!r}: no row, published {cell.rows[text].verdict}")

    async def _leaks(self, play: str, where: str, allowed: Counter[str]) -> None:
        found = (await self._kernel.census(allowed + self._leaked, PATIENCE)) - allowed
        for what, count in (found - self._leaked).items():
            self.faults.append(f"{play}, after {where}: {count} × {what} too many")
        self._leaked |= found  # complained of once

    def _note(self, play: str, cell: Cell, what: str) -> None:
        self.faults.append(f"{play}, cell {cell.place}: {what}")


async def play(path: Path, timings: dict[str, float] | None = None) -> list[str]:
    """Play the hostile reader on a notebook; return what went wrong, a line each."""
    async with kernel(cold=f"notebooks/{path.name}" in STARTED_COLD) as running:
        reader = Reader(path, running)
        faults = await reader.play()
        if timings is not None:
            timings |= reader.seconds
    return faults


def main() -> int:
    """Play on the named notebooks, and print what went wrong."""
    parser = argparse.ArgumentParser(prog="tests.hostile_reader")
    parser.add_argument("names", nargs="+", help="like 02_websocket")
    wrong = 0
    for name in parser.parse_args().names:
        timings: dict[str, float] = {}
        faults = asyncio.run(play(NOTEBOOKS / f"{Path(name).stem}.ipynb", timings))
        wrong += len(faults)
        took = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in timings.items())
        print(f"{name}: {'right' if not faults else f'{len(faults)} faults'} ({took})", *faults, sep="\n  ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
