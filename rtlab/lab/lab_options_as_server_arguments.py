"""The server options that a lab accepts, and the command line that they become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, cast

from rtlab.errors import LabError
from rtlab.protocol.permessage_deflate import Deflate

__all__ = ["LabOptions", "ServerOptions", "as_arguments"]


class ServerOptions(TypedDict, total=False):
    """Keyword arguments of `Lab` for its servers; ``python -m rtlab.server --help`` lists the defaults.

    Durations are seconds.
    """

    # Timeouts
    heartbeat: float
    poll_timeout: float
    header_timeout: float
    session_ttl: float
    leave_grace: float
    stop_window: float
    token_ttl: float
    refresh_ttl: float
    ticket_ttl: float
    revalidate: float
    # Limits
    max_connections: int
    max_per_user: int
    max_per_address: int
    max_message_bytes: int
    write_limit_bytes: int
    write_limit_messages: int
    overflow: str | Sequence[str]
    send_buffer_bytes: int
    handshake_rate: float
    handshake_queue: int
    history_messages: int
    history_bytes: int
    history_age: float
    backlog_messages: int
    backlog_bytes: int
    rate_limit: str | Sequence[str]
    results_kept: int
    results_age: float
    # Features
    broker: str
    cache_rooms: str
    security: Literal["open", "naive", "right"]
    schemas: str
    strict_keys: bool
    allow_origin: str
    compression: bool | Deflate
    loop: Literal["auto", "asyncio", "uvloop"]


class LabOptions(ServerOptions, total=False):
    """Keyword arguments of `Lab`: those of the lab itself, and those of its servers."""

    nodes: int
    faults: bool
    tls: bool
    seed: int
    port: int
    start_timeout: float
    stop_timeout: float


def as_arguments(options: ServerOptions) -> list[str]:
    """Return the options as the server's command line.

    Parameters
    ----------
    options : ServerOptions
        The options given to the lab.

    Returns
    -------
    list of str

    Raises
    ------
    LabError
        For an unknown name; the server itself checks the values.

    Examples
    --------
    >>> as_arguments({"max_connections": 3, "compression": True})
    ['--max-connections', '3', '--compression']
    """
    arguments: list[str] = []
    for name, value in options.items():
        if name not in ServerOptions.__annotations__:
            raise LabError(
                f"expected one of {', '.join(ServerOptions.__annotations__)}, got {name}={value!r}"
            )
        option = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(option)
        elif value is not False:
            values = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
            for one in values:
                arguments += [option, str(one)]
    return arguments
