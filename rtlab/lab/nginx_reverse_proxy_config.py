"""nginx as a reverse proxy of one server: configured by defaults, and as real-time traffic needs it.

*defaults* sets only the address to listen on, the upstream, and the idle timeout, which is
60 s in nginx and scaled down here, so that a measurement takes seconds. *deaf* also ignores
``X-Accel-Buffering``, the header by which a server asks nginx not to buffer. *right* adds what
each transport needs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Final

__all__ = [
    "NGINX_DEFAULT_TIMEOUT",
    "NGINX_FRAME",
    "NGINX_MAP",
    "NGINX_SETTINGS",
    "nginx_config",
    "nginx_lines",
]

#: The configuration around the ``server`` blocks; nginx writes all its files to one folder.
NGINX_FRAME: Final = """\
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
  {map}
{servers}}}
"""

_SERVER: Final = """\
  server {{
    listen 127.0.0.1:{port}{tls};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
{lines}    }}
  }}
"""

_LINES: Final[dict[str, tuple[str, ...]]] = {
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

#: nginx's default idle timeout in seconds (``proxy_read_timeout``).
NGINX_DEFAULT_TIMEOUT: Final = 60.0

#: Names of the settings, in the order of the table of results.
NGINX_SETTINGS: Final = tuple(_LINES)

#: The ``map`` in ``http`` on which the ``Connection`` line of *right* depends.
NGINX_MAP: Final = "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }"


def nginx_config(
    folder: str, upstream: int, ports: Mapping[str, int], timeout: float, certificate: str = ""
) -> str:
    """Return a configuration of nginx with one server for each setting.

    Parameters
    ----------
    folder : str
        Folder for the files that nginx writes.
    upstream : int
        The server's port on 127.0.0.1.
    ports : mapping of str to int
        Setting → the port to listen on.
    timeout : float
        Idle timeout in seconds, in place of nginx's default of 60.
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
        _SERVER.format(port=port, tls=tls, upstream=upstream, lines=_indented(setting, timeout))
        for setting, port in ports.items()
    )
    return NGINX_FRAME.format(folder=folder, map=NGINX_MAP, servers=servers)


def nginx_lines(setting: str = "right", timeout: float = NGINX_DEFAULT_TIMEOUT) -> str:
    """Return the lines of a setting, as they stand in a ``location``.

    Parameters
    ----------
    setting : str
        One of `NGINX_SETTINGS`.
    timeout : float
        Seconds of the idle timeout, where the setting has one.

    Examples
    --------
    >>> nginx_lines("deaf").splitlines()[-1]
    'proxy_ignore_headers X-Accel-Buffering;'
    """
    return "".join(f"{line.format(timeout_ms=round(timeout * 1000))}\n" for line in _LINES[setting])


def _indented(setting: str, timeout: float) -> str:
    return textwrap.indent(nginx_lines(setting, timeout), " " * 6)
