"""Names of subjects: encodes any text as a name that every kind of broker accepts."""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["MAX_SUBJECT_CHARS", "encode_subject", "full_name", "namespace_of", "probe_name"]

#: Characters of the longest encoded subject. Kafka has the tightest limit: 249 characters for a topic.
MAX_SUBJECT_CHARS: Final = 120

_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9-]")


def encode_subject(text: str) -> str:
    """Encode a text as a name of letters, digits, ``-`` and ``_`` only.

    Different texts have different names. Each byte (UTF-8) of another character becomes ``_`` and
    two hexadecimal digits. If the name would be too long, or the text is empty, the name is ``__``
    and the text's SHA-256.

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
        The lab's namespace; any text.
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
    """Return the subject name of a namespace's probes; no encoded subject equals it.

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
    """Return the namespace of the nodes of one token, so that labs on one broker do not hear each other."""
    return hashlib.blake2b(token.encode(), digest_size=8).hexdigest()
