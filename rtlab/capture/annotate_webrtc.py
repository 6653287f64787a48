"""Explains WebRTC's session descriptions line by line, and names its packets."""

from __future__ import annotations

import re
from typing import Final

from rtlab.capture.annotation_table import Annotated, Part
from rtlab.capture.udp_tap import kind_of

__all__ = ["annotate_sdp", "name_of_datagram"]

#: What an SDP line is for: by its attribute's name (after ``a=``), or else by the line's letter.
_COMMENTS: Final = {
    "v": "version of SDP, always 0",
    "o": "who made it; numbers are random",
    "s": "name of the session, not used",
    "t": "when: always",
    "group": "these sections share one UDP socket (RFC 9143)",
    "msid-semantic": "about streams of audio and video: all of them (*), and here are none",
    "m": "one section: SCTP, in DTLS, over UDP; no audio, no video (RFC 8841)",
    "c": "an address for software of the last century; ICE ignores it",
    "mid": "this section's name",
    "sctp-port": "a port inside the tunnel: no firewall ever sees it",
    "max-message-size": "larger messages are refused here",
    "candidate": "a place where we may be reached: UDP, address, port, kind of path (RFC 8839)",
    "end-of-candidates": "there are no more",
    "ice-options": "more candidates may follow one by one",
    "ice-ufrag": "who we are in connectivity checks",
    "ice-pwd": "the key that signs the checks: strangers' packets are ignored",
    "fingerprint": "hash of our certificate: who signalled is who encrypts (RFC 8122)",
}
_SETUP: Final = {
    "actpass": "DTLS: either of us may begin",
    "active": "DTLS: we begin",
    "passive": "DTLS: you begin",
}
_SECRETS: Final = frozenset({"o", "ice-ufrag", "ice-pwd"})
_LINE: Final = re.compile(r"(?:a=(?P<name>[a-z-]+)|(?P<letter>[a-z])=?)[=:]?(?P<value>.*)")

#: Handshake type in a DTLS record (RFC 6347 §4.3.2); a flight of several messages is named by its first.
_HANDSHAKE: Final = {
    1: "DTLS ClientHello",
    2: "DTLS ServerHello, Certificate, …",
    3: "DTLS HelloVerifyRequest",
    11: "DTLS Certificate, ClientKeyExchange, …",
    16: "DTLS ClientKeyExchange, …",
}
_STUN: Final = {0x0001: "ICE check", 0x0101: "ICE check answered"}


def annotate_sdp(sdp: str) -> Annotated:
    """Explain a session description of a data channel, line by line (RFC 8866).

    Parameters
    ----------
    sdp : str
        An offer or an answer.

    Returns
    -------
    Annotated
        Ports, keys and hashes are shown as dots; of several fingerprints, only the first is shown.

    Examples
    --------
    >>> annotate_sdp("a=setup:active")
    session description
    a=setup:active  setup  active  DTLS: we begin
    """
    parts: list[Part] = []
    for line in sdp.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name = match["name"] or match["letter"]
        if name == "fingerprint" and any(part.name == name for part in parts):
            continue
        value = _without_varying(name, match["value"])
        comment = _SETUP.get(value, "") if name == "setup" else _COMMENTS.get(name, "")
        parts.append(Part(line.replace(match["value"], value) if value else line, name, value, comment))
    return Annotated("session description", parts)


def _without_varying(name: str, value: str) -> str:
    if name in _SECRETS:
        return "…"
    if name == "m":
        return re.sub(r"(?<= )\d+(?= )", "…", value, count=1)
    if name == "fingerprint":
        return f"{value.split(' ')[0]} …"
    if name == "candidate":
        return re.sub(r"^\S+ (.*) \d+ typ", r"… \1 … typ", value)
    return value


def name_of_datagram(data: bytes) -> str:
    """Name a datagram of a WebRTC connection, as far as an observer on the path can tell.

    Parameters
    ----------
    data : bytes
        The UDP payload.

    Returns
    -------
    str
        The name; for an encrypted record only the protocol and the length.

    Examples
    --------
    >>> name_of_datagram(bytes([0, 1]) + bytes(18))
    'ICE check'
    """
    kind = kind_of(data)
    if kind == "stun":
        return _STUN.get(int.from_bytes(data[:2], "big"), "STUN")
    if kind == "data":
        return f"SCTP, encrypted ({len(data)} bytes)"
    if kind == "handshake":
        by_record = {20: "DTLS ChangeCipherSpec, Finished", 21: "DTLS alert"}
        return by_record.get(data[0]) or _HANDSHAKE.get(data[13] if len(data) > 13 else 0, "DTLS handshake")
    return f"unknown ({len(data)} bytes)"
