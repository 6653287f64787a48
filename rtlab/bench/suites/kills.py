"""``rtlab bench kills``: a client is killed in mid-flush 200 times; what happened to its messages?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from rtlab.bench.kill_9_in_mid_flush import kill_in_mid_flush
from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result

__all__ = ["run"]

KILLS: Final = 200


async def run(start_lab: StartLab) -> list[Result]:
    """Kill a client with a durable queue, and account for the messages that were on disk.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server the client sends to.

    Returns
    -------
    list of Result
        Messages lost, duplicated and reordered among those on disk; and messages that are missing from
        damaged copies of the file which the queue did not report.
    """
    lab = await start_lab()
    try:
        with tempfile.TemporaryDirectory(prefix="rtlab-bench-") as folder:
            found = await kill_in_mid_flush(lab.ws_url, Path(folder), KILLS, seed=1)
    finally:
        await lab.stop()
    account, of = found.account, f"of {found.promised:,} promised, {found.kills} kills"
    copies = f"{found.copies} damaged copies, {found.reported} reported: messages lost in silence"
    counts = {
        f"{of}: lost": account.lost,
        f"{of}: twice": account.duplicates,
        f"{of}: out of order": account.reordered,
        copies: found.silent,
    }
    return [Result.of("kills", name, [count], "", "limit", [0]) for name, count in counts.items()]
