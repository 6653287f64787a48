"""Processes of a test run start as forks of one that has imported what they need.

A run starts some two thousand of rtlab's servers and proxies, and a hundred kernels. A server would take
0.4 s of processor, a kernel 2 s, nearly all of it imports; a fork of a prepared process takes a tenth.
`install` lets `subprocess.Popen` do so for ``python -P -m rtlab.server`` and its like: the prepared process
clones itself with Linux's CLONE_PARENT, so the new process is the caller's child in every respect: its id,
exit code, parent, session, standard streams, environment, and command line as other processes see it.
Wherever that cannot be, a process starts as ever.
"""

from __future__ import annotations

import atexit
import builtins
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
from types import SimpleNamespace
from typing import Any, Final, NoReturn

__all__ = ["COLD", "install", "prepare", "suspended"]

#: A variable, in whose presence `install` does nothing: a fork shares memory, so its own cannot be measured.
COLD: Final = "RTLAB_TESTS_START_COLD"

#: What is started so, and what is imported for it.
_SERVERS: Final = ("rtlab.server", "rtlab.faults")
_LATER: Final = ("concurrent.futures.thread", "encodings.idna", "uvloop")
#: What only the first offer of a WebRTC client imports: it takes as long as all else.
OFFERS: Final = "rtlab.server.endpoints.webrtc_peers"
_KERNEL: Final = "ipykernel_launcher"
#: Not what asks, when it is imported, whether it is in a notebook, as ipywidgets does, nor rtlab itself.
_OF_KERNELS: Final = (
    "ipykernel.kernelapp",
    "ipykernel.subshell_manager",
    "aiohttp",
    "aiortc",
    "cryptography.x509",
    "httpx",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "msgspec",
    "numpy",
    "psutil",
    "websockets.asyncio.client",
)
#: Libraries of a kernel start threads, which a fork would not have, unless they are told not to.
_NO_THREADS: Final = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
#: Variables that are read by Python or at imports.
_READ: Final = ("PYTHON", "SSL_", "LD_", "JPY_PARENT_PID", "JUPYTER", "IPYTHON", "MPL")
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT: Final = 0x8000
#: Seconds for an answer: a busy machine imports slowly.
_PATIENCE: Final = 60.0
#: Room for a fork's command line, which takes the place of this argument.
_ROOM: Final = "." * 2000

#: While it is true, every process starts as ever.
suspended = False
#: What is imported besides for this process's servers.
_besides: tuple[str, ...] = ()


class _Prepared:
    """A prepared process, as its parent sees it."""

    def __init__(self, kind: str, environment: dict[str, str]) -> None:
        self.owner = os.getpid()
        self.lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno()), kind, *_besides, _ROOM],
                env=environment | _NO_THREADS,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket.settimeout(_PATIENCE)
        self.usable = True
        atexit.register(self.end)

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
        if self.owner != os.getpid():  # a fork of the owner ends: others still use it
            return
        self.usable = False
        self._socket.close()
        self._process.kill()
        self._process.wait()


_prepared: dict[tuple[object, ...], _Prepared] = {}


def _prepared_for(kind: str, environment: dict[str, str]) -> _Prepared:
    # What a process reads when it starts must be what the prepared one has read.
    read = {name: value for name, value in environment.items() if name.startswith(_READ)}
    read.pop("PYTHONSTARTUP", None)  # read by kernels, later
    key = (kind, *sorted(read.items()))
    found = _prepared.get(key)
    # A fork of this process shall have children of its own.
    if found is None or not found.usable or found.owner != os.getpid():
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_READ)}
        found = _prepared[key] = _Prepared(kind, kept | read)
    return found


def prepare(kind: str) -> None:
    """Have a process prepared for ``"servers"`` or ``"kernels"``: the first of them need not wait."""
    if COLD in os.environ:
        return
    given = {
        "servers": {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull},
        "kernels": {"JPY_PARENT_PID": str(os.getpid())},
    }
    _prepared_for(kind, os.environ | given[kind])


def _kind(argv: list[str]) -> str:
    match argv:
        case [sys.executable, "-P", "-m", module, *_] if module in _SERVERS:
            return "servers"
        case [sys.executable, "-m", module, *_] if module == _KERNEL:
            return "kernels"
        case _:
            return ""


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, *rest: Any) -> None:
        pass_fds, cwd, env, _, _, shell, *pipes = rest[:12]
        own_session = rest[-2]
        argv = [os.fspath(word) for word in args] if isinstance(args, list | tuple) else []
        plain = own_session and env is not None and not (shell or executable or preexec_fn or pass_fds)
        if plain and not suspended and (kind := _kind(argv)):
            prepared = _prepared_for(kind, env)
            request = {"argv": argv, "env": dict(env), "cwd": os.fspath(cwd or os.getcwd())}
            streams = [own if pipe < 0 else pipe for own, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
            with prepared.lock:
                pid = prepared.start(request, streams)
            if pid > 0:
                self.pid = pid
                self._child_created = True
                self._close_pipe_fds(*pipes)
                return
        super()._execute_child(args, executable, preexec_fn, close_fds, *rest)


def install(*besides: str) -> None:
    """Let this process start what can be started so as a fork; its servers import these modules besides."""
    global _besides
    _besides = besides
    if COLD not in os.environ and sys.platform == "linux" and os.uname().machine in _CLONE:
        subprocess.Popen = _Popen  # type: ignore[misc]
        if launcher := sys.modules.get("jupyter_client.launcher"):  # else it will find it
            launcher.Popen = _Popen  # type: ignore[attr-defined]


# The prepared process


def _clone() -> int:
    """Fork, as a child of our parent; return 0 in the fork, and its process id here; -1 if it cannot be."""
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
            os.setsid()  # before the answer: its parent may ask for its group at once
            requests.send(str(os.getpid()).encode())
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
        if pid < 0:
            requests.send(b"0")


def _import(kind: str, besides: list[str]) -> None:
    gc.disable()
    if kind == "servers":
        for name in _SERVERS:
            import_module(f"{name}.__main__")
            del sys.modules[f"{name}.__main__"]  # or runpy would warn that it is there
        for name in (*_LATER, *besides):
            import_module(name)
    else:
        for name in _OF_KERNELS:
            import_module(name)
        # pandas asks, too, but only this, and only to choose how wide a table may be.
        builtins.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
        import_module("pandas")
        del builtins.get_ipython  # type: ignore[attr-defined]
    gc.freeze()  # a fork's collector leaves alone, and in shared memory, what was made here
    gc.enable()


def _end(code: object) -> NoReturn:
    """End as `sys.exit` does, but take nothing apart: a fork would copy what was imported to free it."""
    if not (code is None or isinstance(code, int)):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    _import(sys.argv[2], sys.argv[3:-1])
    _request = _serve(socket.socket(fileno=int(sys.argv[1])))
    _, *_flags, _module = _request["argv"][: _request["argv"].index("-m") + 2]
    sys.argv[1:] = _request["argv"][len(_flags) + 2 :]
    if "-P" not in _flags:
        sys.path.insert(0, _request["cwd"])
    try:
        runpy.run_module(_module, run_name="__main__", alter_sys=True)
    except SystemExit as _ended:
        _end(_ended.code)
    _end(None)
