"""Real reverse proxies in front of a lab: nginx and HAProxy, which run for the length of a block."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rtlab.errors import LabError
from rtlab.lab.certificates import Certificates
from rtlab.lab.haproxy_reverse_proxy_config import HAPROXY_SETTINGS, haproxy_config
from rtlab.lab.lab import Lab
from rtlab.lab.nginx_reverse_proxy_config import NGINX_SETTINGS, nginx_config
from rtlab.processes.find_program import find_program
from rtlab.processes.ports import HeldPort, accepts
from rtlab.processes.start_child_process import Child

__all__ = ["PROXY_SETTINGS", "start_proxies"]

#: Program → names of its settings, in the order of the table of results.
PROXY_SETTINGS: Final[dict[str, tuple[str, ...]]] = {"nginx": NGINX_SETTINGS, "haproxy": HAPROXY_SETTINGS}

_START_TIMEOUT: Final = 15.0
_STOP_TIMEOUT: Final = 3.0


@asynccontextmanager
async def start_proxies(
    lab: Lab,
    programs: tuple[str, ...] = tuple(PROXY_SETTINGS),
    *,
    timeout: float = 2.0,
    certificates: Certificates | None = None,
) -> AsyncGenerator[dict[tuple[str, str], str]]:
    """Run real proxies in front of a lab, on free ports, for the length of the block.

    Parameters
    ----------
    lab : Lab
        A running lab.
    programs : tuple of str
        The programs to run: ``"nginx"``, ``"haproxy"`` or both.
    timeout : float
        Idle timeouts in seconds, in place of the programs' defaults.
    certificates : Certificates, optional
        With them, the proxies serve https and wss, and terminate TLS; None serves plain HTTP.

    Yields
    ------
    dict
        (program, setting) → the server's URL through it.

    Raises
    ------
    LabError
        When a program is none of these, or is not installed; the message says how to get it. Also when the
        lab's own server speaks TLS.

    Examples
    --------
    ::

        async with Lab() as lab, start_proxies(lab, ("nginx",)) as urls:
            async with ServerSentEvents(urls["nginx", "right"]) as conn:
                ...
    """
    for name in programs:
        if name not in PROXY_SETTINGS:
            raise LabError(f"expected some of {', '.join(PROXY_SETTINGS)}, got {name!r}")
        if find_program(name) is None:
            raise LabError(
                f"{name} is not installed: `apt install {name}` (Debian, Ubuntu) or `brew install {name}` "
                "(macOS) brings it; `recorded_matrix()` shows a recorded run"
            )
    scheme, upstream = urlsplit(lab.url).scheme, urlsplit(lab.url).port
    if scheme != "http":
        raise LabError("expected a lab without TLS behind the proxies: TLS ends at them, see tls=True")
    assert upstream is not None
    urls: dict[tuple[str, str], str] = {}
    children: list[Child] = []
    with tempfile.TemporaryDirectory(prefix="rtlab-") as folder, ExitStack() as held:
        pem = ""
        if certificates is not None:
            pem, scheme = _write_pem(certificates, Path(folder)), "https"
        try:
            for name in programs:
                ports = {setting: held.enter_context(HeldPort()).port for setting in PROXY_SETTINGS[name]}
                children.append(await _start(lab, name, Path(folder), upstream, ports, timeout, pem))
                urls |= {(name, setting): f"{scheme}://127.0.0.1:{port}" for setting, port in ports.items()}
            yield urls
        finally:
            for child in children:
                await child.stop(_STOP_TIMEOUT)


def _write_pem(certificates: Certificates, folder: Path) -> str:
    """Put chain and key into one file, as HAProxy wants them; return its path."""
    path = folder / "certificate.pem"
    path.write_bytes(certificates.certfile.read_bytes() + certificates.keyfile.read_bytes())
    return str(path)


async def _start(
    lab: Lab, name: str, folder: Path, upstream: int, ports: dict[str, int], timeout: float, pem: str
) -> Child:
    make = nginx_config if name == "nginx" else haproxy_config
    path = folder / f"{name}.conf"
    path.write_text(make(str(folder), upstream, ports, timeout, pem), encoding="utf-8")
    argv = {
        "nginx": ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(path)],
        "haproxy": ["haproxy", "-db", "-f", str(path)],
    }[name]
    child = await lab.spawn(argv, name=name)
    try:
        for port in ports.values():  # the program opens one after the other
            await child.until(lambda port=port: accepts(port), _START_TIMEOUT)
    except BaseException:
        await child.stop(_STOP_TIMEOUT)
        raise
    return child
