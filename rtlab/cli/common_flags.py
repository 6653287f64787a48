"""Flags that several commands take: ``--json``, ``--tls``, ``--save``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Json", "Save", "Tls"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tls = Annotated[bool, typer.Option("--tls", help="Over wss and https.")]
Save = Annotated[Path | None, typer.Option(help="Write the run, and how it was made, to this JSON file.")]
