"""Processes of a test run start as forks of one that has imported what they need.

A run starts some two thousand of rtlab's servers and proxies. Each would take 0.4 s of processor, nearly
all of it imports; a fork of a prepared process takes a tenth. `install` lets `subprocess.Popen` do so for
``python -P -m rtlab.server`` and its like: the prepared process clones itself with Linux's CLONE_PARENT, so
the new process is the caller's child in every respect: its id, exit code, parent, session, standard streams,
environment, and command line as other processes see it. Wherever that cannot be, a process starts as ever.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, Final

__all__ = ["install", "prepare", "suspended"]

#: What is started so, and what it imports when it runs.
_MODULES: Final = ("rtlab.server", "rtlab.faults")
_LATER: Final = ("concurrent.futures.thread", "encodings.idna", "uvloop")
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT: Final = 0x8000
#: Seconds for an answer: a busy machine imports slowly.
_PATIENCE: Final = 60.0
#: Room for a fork's command line, which takes the place of this argument.
_ROOM: Final = "." * 2000

#: While it is true, every process starts as ever.
suspended = False


class _Prepared:
    """A prepared process, as its parent sees it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.owner = os.getpid()
        self.lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno()), _ROOM],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket.settimeout(_PATIENCE)
        self.usable = True

    def start(self, request: dict[str, Any], streams: list[int]) -> int:
        """Return the process id of a new child of ours, 0 if there can be none."""
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
            return int(self._socket.recv(64) or b"0")
        except OSError:
            self.end()
            return 0
        except BaseException:  # an interrupt: the answer would be taken for that of the next request
            self.end()
            raise

    def end(self) -> None:
        self.usable = False
        self._socket.close()
        self._process.kill()
        self._process.wait()


_prepared: dict[tuple[tuple[str, str], ...], _Prepared] = {}


def _prepared_for(environment: dict[str, str]) -> _Prepared:
    # What a process reads when it starts must be what the prepared one has read.
    read = {name: value for name, value in environment.items() if name.startswith(("PYTHON", "SSL_", "LD_"))}
    key = tuple(sorted(read.items()))
    found = _prepared.get(key)
    # A fork of this process shall have children of its own.
    if found is None or not found.usable or found.owner != os.getpid():
        found = _prepared[key] = _Prepared({**os.environ, **read})
    return found


def prepare() -> None:
    """Have a process prepared, which it is some time later: a first server need not wait as long."""
    _prepared_for({**os.environ, "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull})  # as `Child` does


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, *rest: Any) -> None:
        pass_fds, cwd, env, _, _, shell, *pipes = rest[:12]
        session = rest[-2]
        asked = [os.fspath(word) for word in args] if isinstance(args, list | tuple) else []
        suits = (
            not (suspended or shell or executable or preexec_fn or pass_fds)
            and session
            and env is not None
            and asked[:3] == [sys.executable, "-P", "-m"]
            and asked[3:4]
            and asked[3] in _MODULES
        )
        stdin, _, _, stdout, _, stderr = pipes
        if suits and min(stdin, stdout, stderr) >= 0:
            prepared = _prepared_for(env)
            request = {"argv": asked, "env": dict(env), "cwd": os.fspath(cwd or os.getcwd())}
            with prepared.lock:
                pid = prepared.start(request, [stdin, stdout, stderr])
            if pid > 0:
                self.pid = pid
                self._child_created = True
                self._close_pipe_fds(*pipes)
                return
        super()._execute_child(args, executable, preexec_fn, close_fds, *rest)


def install() -> None:
    """Let this process start what can be started so as a fork."""
    if sys.platform == "linux" and os.uname().machine in _CLONE:
        subprocess.Popen = _Popen  # type: ignore[misc]


# The prepared process


def _clone() -> int:
    """Fork, as a child of our parent; return 0 in the fork, and its process id, or -1, here."""
    if len(os.listdir("/proc/self/task")) > 1:  # another thread may hold a lock, for good in the fork
        return -1
    calls = ctypes.PyDLL(None)
    number = _CLONE[os.uname().machine]
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = calls.syscall(number, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid


def _show(argv: list[str]) -> None:
    """Let other processes see this command line."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    line = b"\0".join(map(os.fsencode, argv))[: end - begin - 1]
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, line, len(line))


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request; return one in its fork, ready to become what was asked for."""
    while True:
        data, streams, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not data:
            sys.exit()
        request = json.loads(data)
        pid = _clone()
        if pid == 0:
            os.setsid()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.closerange(3, 1024)
            requests.detach()
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["env"])
            _show(request["argv"])
            return request
        for stream in streams:
            os.close(stream)
        requests.send(str(pid).encode())


if __name__ == "__main__":
    gc.disable()
    for _name in _MODULES:
        import_module(f"{_name}.__main__")
        del sys.modules[f"{_name}.__main__"]  # or runpy would warn that it is there
    for _name in _LATER:
        import_module(_name)
    gc.freeze()  # a fork's collector leaves alone, and in shared memory, what was made here
    gc.enable()
    _request = _serve(socket.socket(fileno=int(sys.argv[1])))
    _, _, _, _module, *sys.argv[1:] = _request["argv"]
    runpy.run_module(_module, run_name="__main__", alter_sys=True)
