"""Configurations of nginx and HAProxy: as they come, and as real-time traffic needs them.

*Defaults* sets nothing but where to listen, where to pass on, and the idle timeouts,
which are scaled down so that a measurement takes seconds: 60 s in nginx, 50 s in
Debian's HAProxy. *Right* adds what each transport needs. *Deaf* is nginx's defaults
without the header by which a server asks it not to buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["SETTINGS", "haproxy_config", "nginx_config"]

#: Program → its settings, in the order of the table.
SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "nginx": ("defaults", "deaf", "right"),
    "haproxy": ("defaults", "right"),
}

_NGINX: Final = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
{servers}}}
"""

_NGINX_SERVER: Final = """\
  server {{
    listen 127.0.0.1:{port}{tls};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
{lines}    }}
  }}
"""

_NGINX_LINES: Final[dict[str, tuple[str, ...]]] = {
    "defaults": ("proxy_read_timeout {timeout_ms}ms;", "proxy_send_timeout {timeout_ms}ms;"),
    "deaf": (
        "proxy_read_timeout {timeout_ms}ms;",
        "proxy_send_timeout {timeout_ms}ms;",
        "proxy_ignore_headers X-Accel-Buffering;",
    ),
    "right": (
        "proxy_http_version 1.1;  # before 1.29.7 the default is 1.0, which has no Upgrade",
        "proxy_set_header Upgrade $http_upgrade;  # hop-by-hop: not passed on by itself",
        "proxy_set_header Connection $connection_upgrade;",
        "proxy_set_header Host $http_host;",
        "proxy_buffering off;  # for event streams whose server does not ask for it",
        "proxy_read_timeout 1h;  # or a heartbeat more often than the default of 60 s",
        "proxy_send_timeout 1h;",
    ),
}

_HAPROXY: Final = """\
global
  maxconn 2000
  stats socket {folder}/admin.sock
defaults
  mode http
  timeout connect 5s
"""

_HAPROXY_SERVER: Final = """\
frontend {setting}
  bind 127.0.0.1:{port}{tls}
  timeout client {client}
  default_backend {setting}
backend {setting}
{lines}  server node 127.0.0.1:{upstream}
"""

_HAPROXY_LINES: Final[dict[str, tuple[str, ...]]] = {
    "defaults": ("timeout server {timeout_ms}ms",),
    "right": (
        "option http-no-delay # else HAProxy may hold a small piece back, for a fuller segment",
        "timeout server 1h    # event streams, and polls that wait: or a heartbeat",
        "timeout tunnel 1h    # after 101 Switching Protocols",
    ),
}


def nginx_config(
    folder: str, upstream: int, ports: Mapping[str, int], timeout: float, certificate: str = ""
) -> str:
    """Return a configuration of nginx with one server for each setting.

    Parameters
    ----------
    folder : str
        For what it writes.
    upstream : int
        The server's port of 127.0.0.1.
    ports : mapping of str to int
        Setting → the port to listen on.
    timeout : float
        Seconds in place of the 60 that are the default.
    certificate : str
        A PEM file with a chain and its key, to serve https and wss with; empty for
        plain http. Either way the proxy speaks plain http to the server.

    Returns
    -------
    str

    Examples
    --------
    >>> "proxy_read_timeout 2000ms;" in nginx_config("/tmp/x", 8000, {"defaults": 8001}, 2.0)
    True
    """
    lines = (f"ssl_certificate {certificate}", f"ssl_certificate_key {certificate}")
    tls = " ssl" + "".join(f";\n    {line}" for line in lines) if certificate else ""
    servers = "".join(
        _NGINX_SERVER.format(
            port=port, tls=tls, upstream=upstream, lines=_lines(_NGINX_LINES[setting], timeout, "      ")
        )
        for setting, port in ports.items()
    )
    return _NGINX.format(folder=folder, servers=servers)


def haproxy_config(
    folder: str, upstream: int, ports: Mapping[str, int], timeout: float, certificate: str = ""
) -> str:
    """Return a configuration of HAProxy with one front and one back end for each setting.

    Parameters
    ----------
    folder, upstream, ports, timeout, certificate
        As for `nginx_config`; the timeout stands in place of Debian's 50 s.

    Returns
    -------
    str
    """
    servers = "".join(
        _HAPROXY_SERVER.format(
            setting=setting,
            port=port,
            tls=f" ssl crt {certificate}" if certificate else "",
            upstream=upstream,
            client="1h" if setting == "right" else f"{_ms(timeout)}ms",
            lines=_lines(_HAPROXY_LINES[setting], timeout, "  "),
        )
        for setting, port in ports.items()
    )
    return _HAPROXY.format(folder=folder) + servers


def _lines(lines: tuple[str, ...], timeout: float, indent: str) -> str:
    return "".join(f"{indent}{line.format(timeout_ms=_ms(timeout))}\n" for line in lines)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
