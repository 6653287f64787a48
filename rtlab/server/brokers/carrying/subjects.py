"""Names that every broker takes, for any text."""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["MAX_SUBJECT_CHARS", "encode_subject", "full_name", "namespace_of", "probe_name"]

#: The longest encoded subject. Kafka's topic names are the shortest of all: 249 characters.
MAX_SUBJECT_CHARS: Final = 120

_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9-]")


def encode_subject(text: str) -> str:
    """Encode a text as a name of letters, digits, ``-`` and ``_`` only.

    Different texts have different names: other characters become ``_`` and the two
    hexadecimal digits of each of their bytes in UTF-8; what would be too long (and the empty
    text) becomes ``__`` and its SHA-256.

    Parameters
    ----------
    text : str
        A room's name, say.

    Returns
    -------
    str
        1 to 120 characters, legal as a token of NATS, a topic of Kafka, a queue of RabbitMQ
        and a key of Redis.

    Examples
    --------
    >>> encode_subject("room-7"), encode_subject("a.b *")
    ('room-7', 'a_2Eb_20_2A')
    """
    data = text.encode("utf-8", "surrogatepass")
    name = _UNSAFE.sub(lambda found: b"_%02X" % found[0][0], data).decode("ascii")
    if 0 < len(name) <= MAX_SUBJECT_CHARS:
        return name
    return f"__{hashlib.sha256(data).hexdigest()}"


def full_name(namespace: str, subject: str) -> str:
    """Return the name of a subject within a namespace, so that two labs share one broker.

    Parameters
    ----------
    namespace : str
        The lab's; any text.
    subject : str
        Any text.

    Returns
    -------
    str
        At most 249 characters: three parts with dots between.

    Examples
    --------
    >>> full_name("lab", "room 7")
    'rtlab.lab.room_207'
    """
    return f"rtlab.{encode_subject(namespace)}.{encode_subject(subject)}"


def probe_name(namespace: str) -> str:
    """Return the name of a namespace's probes, which is that of no subject.

    Parameters
    ----------
    namespace : str
        Any text.

    Returns
    -------
    str

    Examples
    --------
    >>> probe_name("lab")
    'rtlab.lab._probe'
    """
    return f"rtlab.{encode_subject(namespace)}._probe"


def namespace_of(token: str) -> str:
    """Return whose subjects the nodes of one token use: labs that share a broker do not hear each other."""
    return hashlib.blake2b(token.encode(), digest_size=8).hexdigest()
