"""HAProxy's configuration: as it comes, and as real-time traffic needs it.

*defaults* sets nothing but where to listen, where to pass on, and the idle timeouts, which are
50 s in Debian's HAProxy and scaled down here. *right* adds what each transport needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["HAPROXY_SETTINGS", "haproxy_config"]

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
  timeout client {client}
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

#: In the order of the table.
HAPROXY_SETTINGS: Final = tuple(_LINES)


def haproxy_config(
    folder: str, upstream: int, ports: Mapping[str, int], timeout: float, certificate: str = ""
) -> str:
    """Return a configuration of HAProxy with one front and one back end for each setting.

    Parameters
    ----------
    folder : str
        For its socket.
    upstream : int
        The server's port of 127.0.0.1.
    ports : mapping of str to int
        Setting → the port to listen on.
    timeout : float
        Seconds in place of Debian's 50.
    certificate : str
        A PEM file with a chain and its key, to serve https and wss with; empty for plain http.

    Returns
    -------
    str
    """
    timeout_ms = round(timeout * 1000)
    servers = "".join(
        _SERVER.format(
            setting=setting,
            port=port,
            tls=f" ssl crt {certificate}" if certificate else "",
            upstream=upstream,
            client="1h" if setting == "right" else f"{timeout_ms}ms",
            lines="".join(f"  {line.format(timeout_ms=timeout_ms)}\n" for line in _LINES[setting]),
        )
        for setting, port in ports.items()
    )
    return _CONFIG.format(folder=folder) + servers
