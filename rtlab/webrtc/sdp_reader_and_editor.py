"""Reads, checks and edits the text of a session description (SDP): candidates, ports, the message limit."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "LOOPBACK",
    "candidate_ports",
    "check_association",
    "check_message_limit",
    "is_port",
    "keep_loopback",
    "max_message_bytes",
    "without_candidates",
]

LOOPBACK: Final = "127.0.0.1"
#: The largest message, in bytes, of a peer whose description does not state a limit (RFC 8841 §6.1).
DEFAULT_MAX_MESSAGE_BYTES: Final = 65_536
#: The least usable limit in bytes: a smaller one has no room for a welcome, nor for the error that says so.
LEAST_MESSAGE_BYTES: Final = 1024

_CANDIDATE: Final = re.compile(
    r"^a=candidate:\S+ \d+ (?P<protocol>\S+) \d+ (?P<host>\S+) (?P<port>[0-9]{1,5}) "
)
_MAX_MESSAGE: Final = re.compile(r"^a=max-message-size:([0-9]+)[ \t\r]*$", re.MULTILINE)
_SECTION: Final = re.compile(r"^m=(?P<kind>\S+) (?P<port>\S+) (?P<protocol>\S+)[ ]*(?P<format>\S*)")
_FINGERPRINT: Final = re.compile(r"^a=fingerprint:\S", re.MULTILINE)
_SCTP_PORT: Final = re.compile(r"^a=sctp-port:[ \t]*(\S*)", re.MULTILINE)
_ODD_MAX_MESSAGE: Final = re.compile(r"^a=max-message-size:(?![0-9]+[ \t\r]*$).*\n?", re.MULTILINE)


def keep_loopback(sdp: str) -> str:
    """Drop every candidate of a description that is not UDP on a port of 127.0.0.1.

    Parameters
    ----------
    sdp : str
        A session description (RFC 8839 §5.1 for the candidate lines).

    Returns
    -------
    str
        The description without the other candidates. A section that loses all of its
        candidates also loses its ``end-of-candidates``: the peer's own checks will reveal
        its address, so ICE must not give up at once.

    Examples
    --------
    >>> keep_loopback("m=application 9\\r\\na=candidate:1 1 udp 99 x.local 9 typ host\\r\\n")
    'm=application 9\\r\\n'
    """
    sections = re.split(r"(?m)^(?=m=)", sdp)
    return "".join(_keep_in_section(section) for section in sections)


def _keep_in_section(section: str) -> str:
    lines = section.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("a=candidate:") or _on_loopback(line)]
    if not any(line.startswith("a=candidate:") for line in kept):
        kept = [line for line in kept if not line.startswith("a=end-of-candidates")]
    return "".join(kept)


def _on_loopback(line: str) -> bool:
    match = _CANDIDATE.match(line)
    return (
        match is not None
        and match["host"] == LOOPBACK
        and match["protocol"].lower() == "udp"
        and is_port(int(match["port"]))
    )


def is_port(number: int) -> bool:
    """Return whether a datagram can be sent to the port; asyncio drops its own socket at any other."""
    return 0 < number < 65_536


def without_candidates(sdp: str) -> str:
    """Drop every candidate, so that the peer can only answer connectivity checks, not start them.

    Parameters
    ----------
    sdp : str
        A session description.

    Returns
    -------
    str
        The description to offer when this side reaches the peer through a relay.
    """
    return re.sub(r"(?m)^a=(candidate:|end-of-candidates).*\n?", "", sdp)


def candidate_ports(sdp: str, ports: dict[int, int] | None = None) -> tuple[list[int], str]:
    """Return the ports of a description's candidates, and the description with replaced ports.

    Parameters
    ----------
    sdp : str
        A session description.
    ports : dict of int to int, optional
        The replacement for each port, such as a relay's port, so that packets pass the
        relay; None replaces none.

    Returns
    -------
    ports : list of int
        The UDP ports on loopback, in the order of the candidates, without duplicates.
    sdp : str
        The description with the ports replaced.

    Examples
    --------
    >>> line = "a=candidate:1 1 udp 99 127.0.0.1 5000 typ host\\r\\n"
    >>> candidate_ports(line, {5000: 6000})
    ([5000], 'a=candidate:1 1 udp 99 127.0.0.1 6000 typ host\\r\\n')
    """
    found: dict[int, None] = {}
    lines: list[str] = []
    for line in sdp.splitlines(keepends=True):
        match = _CANDIDATE.match(line) if _on_loopback(line) else None
        if match is not None:
            port = int(match["port"])
            found[port] = None
            line = f"{line[: match.start('port')]}{(ports or {}).get(port, port)}{line[match.end('port') :]}"
        lines.append(line)
    return list(found), "".join(lines)


def max_message_bytes(sdp: str) -> int | None:
    """Return the largest data-channel message that the author of a description accepts.

    Parameters
    ----------
    sdp : str
        The peer's description.

    Returns
    -------
    int or None
        The limit in bytes; None for no limit (RFC 8841 §6.1: a value of 0).

    Examples
    --------
    >>> max_message_bytes("a=max-message-size:262144\\r\\n")
    262144
    """
    sections = re.split(r"(?m)^(?=m=)", sdp)
    found = [_MAX_MESSAGE.findall(section) for section in sections if section.startswith("m=application")]
    limits = found[0] if found else _MAX_MESSAGE.findall(sdp)
    return (int(limits[-1]) if limits else DEFAULT_MAX_MESSAGE_BYTES) or None


def check_message_limit(sdp: str) -> str:
    """Return a description without malformed message limits, so that the default applies instead.

    Parameters
    ----------
    sdp : str
        The peer's description. aiortc would read ``-1`` as a limit that no message meets.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The limit is smaller than any connection needs.

    Examples
    --------
    >>> check_message_limit("a=max-message-size:-1\\r\\na=mid:0\\r\\n")
    'a=mid:0\\r\\n'
    """
    kept = _ODD_MAX_MESSAGE.sub("", sdp)
    limit = max_message_bytes(kept)
    if limit is not None and limit < LEAST_MESSAGE_BYTES:
        raise ValueError(
            f"expected a peer that accepts messages of {LEAST_MESSAGE_BYTES:,} bytes, got "
            f"a=max-message-size:{limit}"
        )
    return kept


def check_association(sdp: str) -> None:
    """Refuse a description with which DTLS or SCTP cannot begin.

    Parameters
    ----------
    sdp : str
        The peer's description. aiortc would accept it, and fail later in a task that nobody awaits.

    Raises
    ------
    ValueError
        A section has no ``a=fingerprint`` (RFC 8122 §5), or the one for data has no valid
        ``a=sctp-port`` (RFC 8841 §5.1).

    Examples
    --------
    >>> check_association("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\\r\\n")
    Traceback (most recent call last):
    ValueError: expected a=fingerprint in each section, or before all of them, got none in m=application
    """
    head, *sections = re.split(r"(?m)^(?=m=)", sdp)
    for section in sections:
        match = _SECTION.match(section)
        if match is None or match["port"] == "0":  # malformed, or refused by the peer
            continue
        if not _FINGERPRINT.search(head) and not _FINGERPRINT.search(section):
            raise ValueError(
                "expected a=fingerprint in each section, or before all of them, "
                f"got none in m={match['kind']:.40}"
            )
        if match["kind"] != "application":
            continue
        # Before RFC 8841 the port was the section's format.
        found = [match["format"]] if match["protocol"] == "DTLS/SCTP" else _SCTP_PORT.findall(section)
        port = found[-1] if found else ""
        if not (re.fullmatch("[0-9]{1,5}", port) and is_port(int(port))):
            raise ValueError(f"expected a=sctp-port from 1 to 65535, got {port[:40] or 'none'}")
