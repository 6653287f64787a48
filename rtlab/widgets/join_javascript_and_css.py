"""Joins the files that a widget sends to the page: style sheets, and scripts in one scope (no build step)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["page_files"]

_JS: Final = Path(__file__).parent / "js"


def page_files(*names: str) -> str:
    """Return files of ``rtlab/widgets/js``, joined in this order.

    Parameters
    ----------
    *names : str
        Scripts, or style sheets. ``panel.js`` and ``panel.css`` hold what panels share: they come first.

    Examples
    --------
    >>> page_files("kernel_liveness.js", "keys_left_to_notebook.js", "faults.js").count("export default")
    1
    """
    return "\n".join((_JS / name).read_text("utf-8") for name in names)
