"""What Linux's TCP does on a path that died without a word: recorded in network namespaces, by root.

On loopback the kernel itself acknowledges everything, so TCP's own timers cannot be seen there. Here
a client and a server live in a network namespace each, with a router between them that stops
forwarding: no segment arrives any more, and nobody is told. The recorded run is made again by
``python -m rtlab.experiments.tcp_timeouts_in_network_namespaces --save data/dead_path.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from rtlab.errors import RtlabError
from rtlab.measure.provenance import provenance, write_json
from rtlab.resources import data_path

__all__ = ["CASES", "RECORDED", "DeadPath", "Segment", "record_dead_path", "recorded_dead_path"]

#: The recorded run in ``data/``.
RECORDED: Final = "dead_path.json"
_COMMAND: Final = "python -m rtlab.experiments.tcp_timeouts_in_network_namespaces --save data/dead_path.json"

_NAMES: Final = ("rtlab-client", "rtlab-router", "rtlab-server")
_PORT: Final = 7000
_SERVER: Final = "10.83.2.2"
_DATA: Final = b"x" * 1000
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_USER_TIMEOUT: Final = {"TCP_USER_TIMEOUT": 20_000}  # ms
#: ETH_P_ALL of <linux/if_ether.h>, and PACKET_OUTGOING of packet(7).
_EVERY_PROTOCOL: Final = 0x0003
_PACKET_OUTGOING: Final = 4
#: Case → its TCP options, named as in tcp(7), and whether it sends data just after the path dies.
CASES: Final[dict[str, tuple[dict[str, int], bool]]] = {
    "only listens": ({}, False),
    "only listens, TCP_USER_TIMEOUT 20 s": (_USER_TIMEOUT, False),
    "only listens, keepalive 10 s + 3 · 5 s": (_KEEPALIVE, False),
    "only listens, both": (_KEEPALIVE | _USER_TIMEOUT, False),
    "has sent": ({}, True),
    "has sent, keepalive 10 s + 3 · 5 s": (_KEEPALIVE, True),
    "has sent, TCP_USER_TIMEOUT 20 s": (_USER_TIMEOUT, True),
}


class Segment(msgspec.Struct, frozen=True):
    """One segment that the client's kernel sent after the path had died.

    Parameters
    ----------
    t : float
        Seconds since the path died.
    kind : {"data", "probe", "reset"}
        Data, sent or retransmitted; a keepalive probe; or a reset, which ends the connection.
    """

    t: float
    kind: str


class DeadPath(msgspec.Struct, frozen=True):
    """How the client's kernel handled one connection after its path had died.

    Parameters
    ----------
    name : str
        Name of the case, a key of `CASES`.
    options : dict of str to int
        TCP options of the client's socket.
    sent : bool
        Whether the client sent data just after the path had died.
    ended : float or None
        Seconds from the path's death to the socket's error; None if there was none until the end of the run.
    error : str
        Name of the error, such as ``"ETIMEDOUT"``; empty if there was none.
    segments : tuple of Segment
        Segments that the client's kernel sent meanwhile.
    """

    name: str
    options: dict[str, int]
    sent: bool
    ended: float | None = None
    error: str = ""
    segments: tuple[Segment, ...] = ()


class _Run(msgspec.Struct, frozen=True):
    seconds: float
    cases: tuple[DeadPath, ...]


def recorded_dead_path() -> tuple[float, dict[str, DeadPath]]:
    """Return the recorded run in ``data/``: its duration in seconds, and its connections by name."""
    run = msgspec.json.decode(data_path(RECORDED).read_bytes(), type=_Run)
    return run.seconds, {case.name: case for case in run.cases}


def record_dead_path(seconds: float) -> list[DeadPath]:
    """Open one connection for each of `CASES`, and let the path die under all of them at once.

    Parameters
    ----------
    seconds : float
        Seconds to observe the connections; with Linux's defaults the last error takes over 925.

    Returns
    -------
    list of DeadPath

    Raises
    ------
    RtlabError
        When ``ip`` is not installed, or this process may not create network namespaces.
    """
    if shutil.which("ip") is None:
        raise RtlabError("there is no `ip`: install iproute2")
    with _namespaces(), contextlib.ExitStack() as stack:
        _, listening = stack.enter_context(_inside(_NAMES[2], "server"))
        _line(listening)
        told, heard = stack.enter_context(_inside(_NAMES[0], "client", str(seconds)))
        _line(heard)
        _forwarding(on=False)
        told.write(f"{time.monotonic()}\n")
        told.flush()
        return msgspec.json.decode(_line(heard), type=list[DeadPath])


def _line(heard: IO[str]) -> str:
    line = heard.readline()
    if not line:
        raise RtlabError("a process in a namespace has ended early: see what it printed above")
    return line


# The path


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise RtlabError(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}; only root may do that")


def _forwarding(*, on: bool) -> None:
    switch = f"echo {int(on)} > /proc/sys/net/ipv4/ip_forward"
    _ip("netns", "exec", _NAMES[1], "sh", "-c", switch)


@contextlib.contextmanager
def _namespaces() -> Generator[None]:
    """Create a client's and a server's network namespace, with a router between them."""
    client, router, server = _NAMES
    try:
        for name in _NAMES:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        for end, net in ((client, "10.83.1"), (server, "10.83.2")):
            link, there = ("rt-c", "rt-rc") if end == client else ("rt-s", "rt-rs")
            _ip("link", "add", link, "netns", end, "type", "veth", "peer", "name", there, "netns", router)
            _ip("-n", end, "addr", "add", f"{net}.2/24", "dev", link)
            _ip("-n", router, "addr", "add", f"{net}.1/24", "dev", there)
            _ip("-n", end, "link", "set", link, "up")
            _ip("-n", router, "link", "set", there, "up")
            _ip("-n", end, "route", "add", "default", "via", f"{net}.1")
        _forwarding(on=True)
        yield
    finally:
        for name in _NAMES:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10, check=False)


@contextlib.contextmanager
def _inside(namespace: str, *words: str) -> Generator[tuple[IO[str], IO[str]]]:
    """Run one role of this module in a namespace; yield its standard input and output."""
    command = [
        "ip",
        "netns",
        "exec",
        namespace,
        sys.executable,
        "-P",
        "-m",
        "rtlab.experiments.tcp_timeouts_in_network_namespaces",
    ]
    process = subprocess.Popen([*command, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.kill()
        process.communicate(timeout=10)


# The two ends, each a process of its own in its namespace


def _serve() -> None:
    """Echo everything that clients send, until standard input ends."""
    with socket.create_server(("", _PORT)) as listener:
        print("ready", flush=True)
        peers: dict[int, socket.socket] = {}
        while True:
            for fd in select.select([0, listener.fileno(), *peers], [], [])[0]:
                if fd == 0:
                    return  # the parent has ended
                if fd == listener.fileno():
                    peer, _ = listener.accept()
                    peers[peer.fileno()] = peer
                elif data := peers[fd].recv(65536):
                    peers[fd].sendall(data)
                else:
                    peers.pop(fd).close()


def _watch(seconds: float) -> list[DeadPath]:
    """Connect, wait until standard input reports the path's death, send, and observe the sockets."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL))
    tap.setblocking(False)
    socks = {name: _connect(options) for name, (options, _) in CASES.items()}
    print("ready", flush=True)
    died = float(sys.stdin.readline())
    with contextlib.suppress(BlockingIOError):
        while tap.recv(2048):  # discard the handshakes
            pass
    poller = select.poll()
    poller.register(tap, select.POLLIN)
    poller.register(sys.stdin, select.POLLIN)
    for name, (_, sends) in CASES.items():
        poller.register(socks[name], 0)  # poll reports errors even for an empty mask
        if sends:
            socks[name].send(_DATA)
    owner = {sock.fileno(): name for name, sock in socks.items()}
    by_port = {sock.getsockname()[1]: name for name, sock in socks.items()}
    ended: dict[str, tuple[float, str]] = {}
    segments: dict[str, list[Segment]] = {name: [] for name in CASES}
    while (left := died + seconds - time.monotonic()) > 0:
        for fd, _event in poller.poll(1000 * left):
            now = time.monotonic() - died
            if fd == tap.fileno():
                port, segment = _segment(tap, now)
                if segment is not None and port in by_port:
                    segments[by_port[port]].append(segment)
                continue
            if fd == sys.stdin.fileno():
                raise SystemExit  # the parent has ended
            code = socks[owner[fd]].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            ended[owner[fd]] = round(now, 3), errno.errorcode.get(code, str(code))
            poller.unregister(fd)
    return [
        DeadPath(name, options, sends, *ended.get(name, (None, "")), tuple(segments[name]))
        for name, (options, sends) in CASES.items()
    ]


def _connect(options: dict[str, int]) -> socket.socket:
    sock = socket.create_connection((_SERVER, _PORT), timeout=10)
    for name, value in options.items():
        if name.startswith("TCP_KEEP"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    sock.sendall(b"ping")
    sock.recv(4)
    return sock


def _segment(tap: socket.socket, now: float) -> tuple[int, Segment | None]:
    """Read a packet; if it is an outgoing TCP segment, return its source port and what it is."""
    packet, (_device, _protocol, direction, *_) = tap.recvfrom(2048)
    if direction != _PACKET_OUTGOING or len(packet) < 40 or packet[9] != socket.IPPROTO_TCP:
        return 0, None
    head = (packet[0] & 15) * 4
    (length,), (port,) = struct.unpack_from("!H", packet, 2), struct.unpack_from("!H", packet, head)
    payload = length - head - (packet[head + 12] >> 4) * 4
    kind = "reset" if packet[head + 13] & 4 else "data" if payload else "probe"
    return port, Segment(round(now, 3), kind)


def _main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["server"]:
            _serve()
        case ["client", seconds]:
            print(msgspec.json.encode(_watch(float(seconds))).decode(), flush=True)
        case _:
            parser = argparse.ArgumentParser(
                prog="rtlab.experiments.tcp_timeouts_in_network_namespaces", description=__doc__
            )
            parser.add_argument("--seconds", type=float, default=1000.0)
            parser.add_argument("--save", type=Path, required=True)
            asked = parser.parse_args(arguments)
            cases = record_dead_path(asked.seconds)
            about = provenance(_COMMAND, {"ip": "-V"})
            result: Any = {"seconds": asked.seconds, "cases": msgspec.to_builtins(cases)}
            write_json(asked.save, about, result)
            print(json.dumps({case.name: case.ended for case in cases}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    _main(sys.argv[1:])
