"""A logger for an HTTP server that logs the server's errors, not those of its clients."""

from __future__ import annotations

import logging

__all__ = ["server_log"]


def server_log(name: str) -> logging.Logger:
    """Return a logger for aiohttp that leaves out errors caused by clients.

    Otherwise each request that is not HTTP would log a traceback: any client could fill the disk.

    Parameters
    ----------
    name : str
        Name of the logger.
    """
    log = logging.getLogger(name)
    log.addFilter(_is_our_fault)
    return log


def _is_our_fault(record: logging.LogRecord) -> bool:
    # Imported here, as only HTTP servers need it: it takes a quarter of a second.
    from aiohttp.http_exceptions import HttpProcessingError

    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
