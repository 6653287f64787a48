"""A name that a restarted kernel has forgotten: the reader is told which cell makes it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from rtlab.notebook import start_jupyterlab
from rtlab.notebook.missing_names import where_made
from tests.hostile_reader import kernel

CELLS = [
    {"cell_type": "markdown", "source": "lab = 1"},
    {"cell_type": "code", "source": ["%matplotlib inline"]},
    {
        "cell_type": "code",
        "source": "import asyncio\nlab = await Lab.start()\nasync with lab as more:\n    a, b = 1, 2",
    },
    {"cell_type": "code", "source": "async def feed(inner):\n    local = 1\nlab = 2"},
]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("lab", "import asyncio"),
        ("asyncio", "import asyncio"),
        ("more", "import asyncio"),
        ("b", "import asyncio"),
        ("feed", "async def feed(inner):"),
        ("local", ""),
        ("unknown", ""),
    ],
)
def test_the_first_cell_that_makes_a_name_is_found(name: str, line: str):
    assert where_made({"cells": CELLS}, name) == line


async def test_a_kernel_of_rtlab_lab_says_it_below_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "mine.ipynb"
    path.write_text(json.dumps({"cells": CELLS}))
    monkeypatch.setenv("PYTHONSTARTUP", start_jupyterlab.environment()["PYTHONSTARTUP"])
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    async with asyncio.timeout(60), kernel(cold=False) as started:
        ran = await started.run("lab.url")
        assert (ran.error, ran.stderr) == ("NameError", "")
        assert ran.stdout.startswith(
            "The cell that begins with `import asyncio` makes 'lab', and has not run"
        )
        assert (await started.run("unknown")).stdout == ""
        await started.run("import asyncio\nawait asyncio.sleep(0)\nlab = await nowhere()")
        assert (await started.run("lab.url")).stdout == (
            "The cell that begins with `import asyncio` makes 'lab', and was interrupted before it did, or "
            "failed: run it again, and then this one.\n"
        )
        assert (
            await started.run("[n for n in dir() if 'install' in n] or print('empty')")
        ).stdout == "empty\n"
