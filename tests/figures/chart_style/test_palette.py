"""Every colour of a figure has a name."""

from __future__ import annotations

import re
from pathlib import Path

from rtlab import figures


def test_colours_are_written_in_two_modules_only() -> None:
    folder = Path(figures.__file__).parent
    written = {
        path.name for path in folder.rglob("*.py") if re.search(r"#[0-9A-Fa-f]{6}\b", path.read_text())
    }
    assert written == {"matplotlib_style.py", "palette.py"}
