"""How to start a RabbitMQ that shares nothing with another one on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rtlab.processes.programs_and_ports import find_program, free_port

__all__ = ["find_rabbitmq", "rabbitmq_command", "rabbitmq_environment"]

#: Debian's, without the wrapper on the PATH: that one wants to be root, or the user ``rabbitmq``.
_DEBIAN: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"

#: Erlang's name server runs in the foreground, in the broker's process group: it ends with it. Left to
#: itself, Erlang starts one as a daemon, on all of the machine's addresses, and leaves it behind.
_START: Final = 'epmd -relaxed_command_check & exec "$0"'

#: Two schedulers that do not spin while they wait: a lab's broker mostly waits.
_ERLANG: Final = (
    "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} "
    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
)


def find_rabbitmq() -> str | None:
    """Find the server's program.

    Returns
    -------
    str or None
        Its path.
    """
    return find_program(_DEBIAN) or find_program("rabbitmq-server")


def rabbitmq_command(program: str) -> list[str]:
    """Return the command that starts a server and its name server, in the foreground.

    Parameters
    ----------
    program : str
        The server's.

    Returns
    -------
    list of str
    """
    return ["/bin/sh", "-c", _START, program]


def rabbitmq_environment(port: int, folder: Path) -> dict[str, str]:
    """Return what tells the server where to listen and where to write: nowhere but there.

    Parameters
    ----------
    port : int
        Of 127.0.0.1, for clients.
    folder : Path
        Its data, its log, and its secret.

    Returns
    -------
    dict of str to str
        Environment variables. The configuration of the machine's own RabbitMQ is not read.
    """
    nothing = str(folder / "none")
    return {
        "HOME": str(folder),  # the cookie is written there
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_NODENAME": "rtlab@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
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
