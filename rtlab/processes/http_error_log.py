"""The log of an HTTP server that strangers talk to: our mistakes, not theirs."""

from __future__ import annotations

import logging

__all__ = ["server_log"]


def server_log(name: str) -> logging.Logger:
    """Return a logger for aiohttp that leaves out what clients get wrong.

    Each request that is no HTTP would else write a traceback: whoever can connect could fill the disk.

    Parameters
    ----------
    name : str
        The logger's.
    """
    log = logging.getLogger(name)
    log.addFilter(_is_our_fault)
    return log


def _is_our_fault(record: logging.LogRecord) -> bool:
    # Imported by who serves HTTP; a quarter of a second that others are spared.
    from aiohttp.http_exceptions import HttpProcessingError

    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
