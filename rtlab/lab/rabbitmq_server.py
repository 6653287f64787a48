"""Command and environment of a RabbitMQ that shares nothing with another one on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rtlab.processes.find_program import find_program

__all__ = ["find_rabbitmq", "rabbitmq_command", "rabbitmq_environment"]

#: Debian's program itself: the wrapper on the PATH requires root or the user ``rabbitmq``.
_DEBIAN: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"

#: Starts Erlang's name server (epmd) in the broker's process group, so that it ends with the broker. By
#: default, Erlang starts epmd as a daemon, which listens on all addresses and outlives the broker.
_START: Final = 'epmd -relaxed_command_check & exec "$0"'

#: Two schedulers, without busy waiting: a lab's broker is mostly idle.
_ERLANG: Final = (
    "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} "
    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
)


def find_rabbitmq() -> str | None:
    """Find the server's program.

    Returns
    -------
    str or None
        The program's path; None when it is not installed.
    """
    return find_program(_DEBIAN) or find_program("rabbitmq-server")


def rabbitmq_command(program: str) -> list[str]:
    """Return the command that starts a server and its name server, in the foreground.

    Parameters
    ----------
    program : str
        Path of the server's program.

    Returns
    -------
    list of str
    """
    return ["/bin/sh", "-c", _START, program]


def rabbitmq_environment(ports: Sequence[int], folder: Path) -> dict[str, str]:
    """Return the environment that restricts the server to the given ports and folder.

    Parameters
    ----------
    ports : sequence of int
        Three ports of 127.0.0.1: for clients, for Erlang's name server, and for other nodes.
    folder : Path
        Folder for the server's data, its log, and the Erlang cookie.

    Returns
    -------
    dict of str to str
        Environment variables. The configuration of the machine's own RabbitMQ is not read.
    """
    port, names, distribution = ports
    nothing = str(folder / "none")
    return {
        "HOME": str(folder),  # where Erlang writes its cookie
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": "rtlab@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": nothing,
        "RABBITMQ_CONFIG_FILE": nothing,
        "RABBITMQ_ADVANCED_CONFIG_FILE": nothing,
        "RABBITMQ_CONF_ENV_FILE": nothing,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
    }
