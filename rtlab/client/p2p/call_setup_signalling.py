"""Signalling of a call: two clients find each other in a room, and then talk without the server.

The server carries the signalling only, as ordinary room messages of type ``rtc_signal``:
an offer, and its answer. A connection over any transport can be used. After that, messages on
a data channel and sound go directly from one client to the other.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

import msgspec
from aiortc import MediaStreamTrack, RTCSessionDescription

from rtlab.client.p2p.call import Call
from rtlab.errors import ConnectFailed, TransportClosed
from rtlab.protocol.message_format import Message
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection
from rtlab.webrtc.relay_candidate_rewrite import Relay, through_relay

__all__ = ["SIGNAL", "Peer", "Signalling"]

#: The type of the room messages that carry offers and answers.
SIGNAL: Final = "rtc_signal"
_MAX_WAITING_OFFERS: Final = 16


class Signalling(Protocol):
    """The interface of a peer's signalling connection: any `Connection` that has joined the room."""

    @property
    def client_id(self) -> str | None: ...

    def on(self, name: str, handler: Callable[[Any], object]) -> None: ...

    def off(self, name: str, handler: Callable[[Any], object] | None = None) -> None: ...

    async def send(
        self, type: str, payload: Any = None, *, room_id: str | None = None, id: str | None = None
    ) -> None: ...


class _Signal(msgspec.Struct, rename={"sender": "from", "receiver": "to"}):
    """The payload of a signalling message; `receiver` is None in an offer to any peer of the room."""

    kind: Literal["offer", "answer"]
    call: str
    sender: str
    sdp: str
    receiver: str | None = None


class Peer:
    """A client that can call other peers of its room, and be called by them.

    A peer's name begins with its connection's client id. The server stamps the client id of the sender
    into each message, and a peer ignores offers and answers whose name and stamp disagree. So nobody else
    in the room can answer a call by name, as long as the server gives a client id to one client only.

    Parameters
    ----------
    signalling : Signalling
        A connection that has joined the room.
    room_id : str
        The room through which offers and answers go.

    # Media
    audio : callable, optional
        Makes the track to send in a call, such as `ToneTrack`; None sends no sound. A
        call has sound only if the calling peer offers it.

    # Delivery
    ordered : bool
        Whether messages are delivered in order, in the calls that this peer makes.
    max_retransmits : int, optional
        Retransmissions after which a lost packet is given up; None never gives up.
    relay : callable, optional
        Called with the other peer's UDP port and awaited; returns the port of a relay in
        front of it, through which the call then goes.

    Examples
    --------
    >>> async def talk(a: Signalling, b: Signalling) -> None:
    ...     async with Peer(a, "lobby") as alice, Peer(b, "lobby") as bob:
    ...         ours, theirs = await asyncio.gather(alice.call(), bob.accept())
    ...         async with ours, theirs:
    ...             await ours.send("chat", "no server between us")
    ...             print((await theirs.receive()).payload)
    """

    def __init__(
        self,
        signalling: Signalling,
        room_id: str,
        *,
        # Media
        audio: Callable[[], MediaStreamTrack] | None = None,
        # Delivery
        ordered: bool = True,
        max_retransmits: int | None = None,
        relay: Relay | None = None,
    ) -> None:
        self._unique = secrets.token_hex(4)
        self._signalling = signalling
        self._room_id = room_id
        self._audio = audio
        self._ordered = ordered
        self._max_retransmits = max_retransmits
        self._relay = relay
        self._offers: asyncio.Queue[_Signal] = asyncio.Queue(_MAX_WAITING_OFFERS)
        # Call → the name of the peer that may answer, None for any; and its answer
        self._answers: dict[str, tuple[str | None, asyncio.Future[_Signal]]] = {}

    @property
    def name(self) -> str:
        """The connection's client id, a dot and a random part; without a client id, the random part only.

        A connection learns its client id when it opens, and the server may give it another one later. Answers
        to offers that were sent under the former name still arrive; a call to the former name does not.
        """
        client_id = self._signalling.client_id
        return self._unique if client_id is None else f"{client_id}.{self._unique}"

    async def __aenter__(self) -> Self:
        self._signalling.on(SIGNAL, self._signalled)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signalling.off(SIGNAL, self._signalled)

    def _signalled(self, message: Message) -> None:
        if message.room_id != self._room_id:
            return
        try:
            signal = msgspec.convert(message.payload, _Signal)
        except msgspec.ValidationError:
            return  # any client of the room can send any payload
        if self._is_own(signal.sender):
            return
        if message.client_id is not None and signal.sender.rpartition(".")[0] != message.client_id:
            return  # it says that it comes from somebody else
        if signal.kind == "offer":
            # The answer to an offer to a former name would be ignored: the caller waits for that name.
            if signal.receiver in (None, self.name) and not self._offers.full():
                self._offers.put_nowait(signal)
        elif signal.receiver is None or self._is_own(signal.receiver):
            name, waiting = self._answers.get(signal.call, (None, None))
            if waiting is not None and not waiting.done() and name in (None, signal.sender):
                waiting.set_result(signal)

    def _is_own(self, name: str) -> bool:
        """Whether a name is this peer's, now or with a client id that it had before a reconnect."""
        return name.rpartition(".")[2] == self._unique

    async def _tell(self, signal: _Signal) -> None:
        await self._signalling.send(SIGNAL, msgspec.to_builtins(signal), room_id=self._room_id)

    async def call(self, name: str | None = None, *, timeout: float = 5.0) -> Call:
        """Call another peer of the room.

        Parameters
        ----------
        name : str, optional
            The other peer's `Peer.name`: answers of others are ignored. None takes the first peer that
            answers.
        timeout : float
            Seconds within which the call must be open.

        Returns
        -------
        Call

        Raises
        ------
        ConnectFailed
            No peer answered, not the one that was called, or ICE found no path.
        """
        peer = LoopbackPeerConnection()
        if self._audio is not None:
            peer.addTrack(self._audio())
        channel = peer.createDataChannel(
            "rtlab-peer", ordered=self._ordered, maxRetransmits=self._max_retransmits
        )
        call = Call(peer, channel)
        ident = secrets.token_hex(8)
        answered: asyncio.Future[_Signal] = asyncio.get_running_loop().create_future()
        self._answers[ident] = name, answered
        opened = False
        try:
            async with asyncio.timeout(timeout):
                await peer.setLocalDescription()
                offer, reroute = through_relay(peer.localDescription.sdp, self._relay)
                await self._tell(_Signal("offer", ident, self.name, offer, name))
                answer = await answered
                call.remote = answer.sender
                sdp = await reroute(answer.sdp)
                await peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))
                await call.opened()
                opened = True
                return call
        except TimeoutError as error:
            if call.remote:
                reason = f"peer {call.remote} answered, and no call opened: can UDP pass on 127.0.0.1?"
            elif name is None:
                reason = f"nobody in room {self._room_id!r} answered: is another Peer waiting in accept()?"
            else:
                reason = f"peer {name} did not answer in room {self._room_id!r}: is it waiting in accept()?"
            raise ConnectFailed(f"{reason} ({timeout:g} s)") from error
        except (TransportClosed, ValueError) as error:
            raise ConnectFailed(f"the call to {call.remote} failed: {error}") from error
        finally:
            del self._answers[ident]
            if not opened:
                await call.close()

    async def accept(self, *, timeout: float = 5.0) -> Call:
        """Wait for a call, and answer it.

        Parameters
        ----------
        timeout : float
            Seconds within which the call must be open.

        Returns
        -------
        Call

        Raises
        ------
        ConnectFailed
            No peer called, or the call did not open.
        """
        call: Call | None = None
        opened = False
        try:
            async with asyncio.timeout(timeout):
                offer = await self._offers.get()
                while offer.receiver not in (None, self.name):  # a name until the client id changed
                    offer = await self._offers.get()  # the caller would ignore an answer under the new one
                peer = LoopbackPeerConnection()
                call = Call(peer)
                call.remote = offer.sender
                await peer.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp, type="offer"))
                call.check_opening()
                if self._audio is not None and peer.getTransceivers():
                    peer.addTrack(self._audio())
                await peer.setLocalDescription()
                await self._tell(
                    _Signal("answer", offer.call, self.name, peer.localDescription.sdp, offer.sender)
                )
                await call.opened()
                opened = True
                return call
        except TimeoutError as error:
            who = f"{call.remote} called, and no call opened" if call is not None else "nobody called"
            raise ConnectFailed(f"{who} in room {self._room_id!r} within {timeout:g} s") from error
        except (TransportClosed, ValueError) as error:
            raise ConnectFailed(f"a call could not be taken: {error}") from error
        finally:
            if call is not None and not opened:
                await call.close()
