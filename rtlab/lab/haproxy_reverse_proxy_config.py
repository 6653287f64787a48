"""HAProxy as a reverse proxy of one server: configured by defaults, and as real-time traffic needs it.

*defaults* sets only the address to listen on, the upstream, and the idle timeouts, which are
50 s in Debian's HAProxy and scaled down here. *right* adds what each transport needs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Final

__all__ = ["DEBIAN_TIMEOUT", "HAPROXY_SETTINGS", "haproxy_config", "haproxy_lines"]

_CONFIG: Final = """\
global
  maxconn 2000
  stats socket {folder}/admin.sock
defaults
  mode http
  timeout connect 5s
"""

_SERVER: Final = """\
frontend {setting}
  bind 127.0.0.1:{port}{tls}
  {client}
  default_backend {setting}
backend {setting}
{lines}  server node 127.0.0.1:{upstream}
"""

_LINES: Final[dict[str, tuple[str, ...]]] = {
    "defaults": ("timeout server {timeout_ms}ms",),
    "right": (
        "option http-no-delay # else HAProxy may hold a small piece back, for a fuller segment",
        "timeout server 1h    # event streams, and polls that wait: or a heartbeat",
        "timeout tunnel 1h    # after 101 Switching Protocols",
    ),
}

#: Idle timeouts in the configuration that Debian ships, in seconds; HAProxy itself has no default.
DEBIAN_TIMEOUT: Final = 50.0

#: Names of the settings, in the order of the table of results.
HAPROXY_SETTINGS: Final = tuple(_LINES)


def haproxy_config(
    folder: str, upstream: int, ports: Mapping[str, int], timeout: float, certificate: str = ""
) -> str:
    """Return a configuration of HAProxy with one frontend and one backend for each setting.

    Parameters
    ----------
    folder : str
        Folder for HAProxy's admin socket.
    upstream : int
        The server's port on 127.0.0.1.
    ports : mapping of str to int
        Setting → the port to listen on.
    timeout : float
        Idle timeouts in seconds, in place of Debian's 50.
    certificate : str
        A PEM file with a chain and its key, to serve https and wss with; empty for plain http.

    Returns
    -------
    str
    """
    servers = "".join(
        _SERVER.format(
            setting=setting,
            port=port,
            tls=f" ssl crt {certificate}" if certificate else "",
            upstream=upstream,
            client=_client(setting, timeout),
            lines=textwrap.indent(_backend(setting, timeout), "  "),
        )
        for setting, port in ports.items()
    )
    return _CONFIG.format(folder=folder) + servers


def haproxy_lines(setting: str = "right", timeout: float = DEBIAN_TIMEOUT) -> str:
    """Return the lines of a setting: ``frontend``'s first, then ``backend``'s; all may stand in ``defaults``.

    Parameters
    ----------
    setting : str
        One of `HAPROXY_SETTINGS`.
    timeout : float
        Seconds of the idle timeouts, where the setting has them.

    Examples
    --------
    >>> haproxy_lines("defaults").splitlines()
    ['timeout client 50000ms', 'timeout server 50000ms']
    """
    return f"{_client(setting, timeout)}\n{_backend(setting, timeout)}"


def _client(setting: str, timeout: float) -> str:
    return f"timeout client {'1h' if setting == 'right' else f'{round(timeout * 1000)}ms'}"


def _backend(setting: str, timeout: float) -> str:
    return "".join(f"{line.format(timeout_ms=round(timeout * 1000))}\n" for line in _LINES[setting])
