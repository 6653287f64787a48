"""WebRTC that never leaves this machine: loopback is the only candidate address.

aioice gathers every address of the host *except* 127.0.0.1, and aiortc asks a
public STUN server by default. `LoopbackPeerConnection` reverses both for its own
objects only: no class of aiortc or aioice is patched. A browser hides its addresses
behind mDNS names (``….local``). Such candidates are dropped; the browser's
connectivity checks to 127.0.0.1 reveal its address (a *peer-reflexive* candidate,
RFC 8445 §7.3.1.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from typing import Any, Final

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceCandidate,
    RTCPeerConnection,
    RTCSessionDescription,
)

from rtlab.webrtc.sdp_reader_and_editor import (
    LOOPBACK,
    check_association,
    check_message_limit,
    is_port,
    keep_loopback,
)

__all__ = ["LoopbackPeerConnection"]

_CLOSE_TIMEOUT: Final = 2.0

#: The UDP receive buffer to ask the kernel for, which holds packets while the event loop is busy: SCTP sends
#: a whole window at once, and each loss at the end of one costs a second (RFC 9260 §16, RTO.Min).
_RECEIVE_BUFFER_BYTES: Final = 1 << 20


def _gather_on_loopback(connection: Any) -> None:
    """Let one `aioice.Connection` gather on loopback only, with a larger receive buffer."""
    gather = connection.get_component_candidates

    async def on_loopback(component: int, addresses: list[str], timeout: int = 5) -> Any:
        candidates = await gather(component, [LOOPBACK], timeout)
        for protocol in connection._protocols:
            own = protocol.transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        return candidates

    connection.get_component_candidates = on_loopback


class LoopbackPeerConnection(RTCPeerConnection):
    """An `RTCPeerConnection` that uses 127.0.0.1 and nothing else.

    Notes
    -----
    Making one costs about 0.6 ms for its DTLS certificate (P-256). It opens one UDP
    socket only, which data and audio share (``max-bundle``).

    Examples
    --------
    >>> async def offer() -> str:
    ...     peer = LoopbackPeerConnection()
    ...     peer.createDataChannel("chat")
    ...     await peer.setLocalDescription()
    ...     await peer.close()
    ...     return peer.localDescription.sdp
    >>> "a=candidate" in asyncio.run(offer())
    True
    """

    def __init__(self) -> None:
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._shutdown: asyncio.Task[None] | None = None

    async def setLocalDescription(self, sessionDescription: RTCSessionDescription | None = None) -> None:  # noqa: N802, N803
        """Do what aiortc does, but gather candidates on loopback only."""
        for ice in self._ice_transports():
            _gather_on_loopback(ice.iceGatherer._connection)
        await super().setLocalDescription(sessionDescription)

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:  # noqa: N802, N803
        """Do what aiortc does, but ignore the peer's candidates on other addresses.

        Raises
        ------
        ValueError
            The description cannot be parsed, lacks what DTLS or SCTP needs, or its author accepts
            no messages of a useful size. Descriptions come from outside, and aiortc's parser may
            raise any exception.
        """
        sdp = check_message_limit(keep_loopback(sessionDescription.sdp))
        check_association(sdp)
        kept = RTCSessionDescription(sdp=sdp, type=sessionDescription.type)
        try:
            await super().setRemoteDescription(kept)
        except Exception as error:
            raise ValueError(f"a session description that cannot be read: {error!r:.200}") from error

    async def addIceCandidate(self, candidate: RTCIceCandidate | None) -> None:  # noqa: N802
        """Do what aiortc does, but ignore a candidate on another address, or without a valid port."""
        if candidate is None or (candidate.ip == LOOPBACK and is_port(candidate.port)):
            await super().addIceCandidate(candidate)

    async def close(self) -> None:
        """Close, and return when no task of this connection is left.

        aiortc starts tasks that nothing awaits (connecting, flushing, timers), and its
        second `close` waits for ever if the first one was cancelled. Here closing is one
        task, which goes on even if its callers are cancelled.
        """
        if self._shutdown is None:
            self._shutdown = asyncio.ensure_future(self._close())
        await asyncio.shield(self._shutdown)

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await super().close()
        # aioice may go on connecting, and then check consent for ever (RFC 7675), so its tasks are cancelled.
        while left := self._tasks():
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            for task in left:
                if not task.cancelled():
                    task.exception()  # marks it as retrieved, so that asyncio logs nothing

    def _ice_transports(self) -> set[Any]:
        dtls = {transceiver.receiver.transport for transceiver in self.getTransceivers()}
        if self.sctp is not None:
            dtls.add(self.sctp.transport)
        return {transport.transport for transport in dtls}

    def _tasks(self) -> set[asyncio.Task[Any]]:
        """The running tasks that execute a method of this connection or of its parts."""
        parts: set[Any] = {self, self.sctp}
        for ice in self._ice_transports():
            parts |= {ice, ice._connection}
        for transceiver in self.getTransceivers():
            parts |= {transceiver.sender, transceiver.receiver, transceiver.receiver.transport}
        if self.sctp is not None:
            parts.add(self.sctp.transport)
        parts.discard(None)

        def ours(task: asyncio.Task[Any]) -> bool:
            coroutine = task.get_coro()
            if not inspect.iscoroutine(coroutine) or coroutine.__name__ in ("close", "_close"):
                return False  # closers are, or wait for, the present task
            return inspect.getcoroutinelocals(coroutine).get("self") in parts

        return {task for task in asyncio.all_tasks() if ours(task)}
