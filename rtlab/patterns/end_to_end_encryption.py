"""End-to-end encrypted payloads: X25519, HKDF and ChaCha20-Poly1305.

The server routes payloads that it cannot read. It still sees who sends to which room, when, how
often, and roughly how much: encryption does *not* hide this metadata. It also distributes the public
keys: compare each `Identity.fingerprint` over another channel, or the server can be a man in the middle.
There is no forward secrecy within the life of an `Identity`: make a new one for each conversation.
"""

from __future__ import annotations

import base64
import secrets
from collections import OrderedDict
from typing import Any, Final, Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rtlab.errors import MessageError
from rtlab.policies.anti_replay_window import ReplayWindow
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import check_payload, fields_of

__all__ = ["PAD_BYTES", "SEALED", "Box", "Identity"]

#: The type of message that carries a sealed payload.
SEALED: Final = "sealed"

#: Plaintexts are padded to a multiple of this many bytes, so that their length reveals little.
PAD_BYTES: Final = 64

#: Streams of the peer (one for each `Box` that it made) whose replay windows are kept.
MAX_STREAMS: Final = 16

#: Streams of the peer that one `Box` opens in all: it remembers each stream's salt, to detect replays.
MAX_STARTS: Final = 1 << 16

_MAX_COUNT: Final = 1 << 62


class Identity:
    """A key pair. The private half never leaves the object, nor shows in a repr.

    Parameters
    ----------
    private : bytes, optional
        A stored private key of 32 bytes; None generates a new one.

    Examples
    --------
    >>> ada, bob = Identity(), Identity()
    >>> sealed = Box(ada, bob.public).seal({"text": "hi"}, room_id="lobby")
    >>> Box(bob, ada.public).open(sealed, room_id="lobby")
    {'text': 'hi'}
    """

    def __init__(self, private: bytes | None = None) -> None:
        if private is not None and len(private) != 32:
            raise ValueError(f"expected a private key of 32 bytes, got {len(private)}")
        self._key = (
            X25519PrivateKey.generate() if private is None else X25519PrivateKey.from_private_bytes(private)
        )
        self.public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"<Identity {self.fingerprint}>"

    @property
    def fingerprint(self) -> str:
        """The beginning of the public key's hash, for people to compare."""
        return key_fingerprint(self.public)

    def agree(self, public: bytes) -> bytes:
        """Return the shared secret that only the two ends can compute (X25519, RFC 7748 §6.1)."""
        if len(public) != 32:
            raise ValueError(f"expected a public key of 32 bytes, got {len(public)}")
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise ValueError("expected a public key, got a point of low order: a trap") from None


def key_fingerprint(public: bytes) -> str:
    """Return the beginning of a public key's SHA-256, in groups that can be read aloud."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public)
    text = digest.finalize().hex()[:16]
    return " ".join(text[i : i + 4] for i in range(0, 16, 4))


class Box:
    """Encrypts payloads for one peer (*seals* them), and decrypts the payloads that the peer sealed.

    Each box draws a random salt, from which its own key is derived. So a counter suffices as nonce:
    no nonce is used twice with one key, even if a program with a stored private key restarts. The
    room is authenticated with the payload; both public keys go into the key derivation.

    Parameters
    ----------
    identity : Identity
        The key pair of this end.
    public : bytes
        The peer's public key.
    """

    def __init__(self, identity: Identity, public: bytes) -> None:
        self._shared = identity.agree(public)
        self._own, self._peer = identity.public, public
        self._salt = secrets.token_bytes(16)
        self._sealer = self._cipher(self._salt, self._own, self._peer)
        self._count = 0
        self._streams: OrderedDict[bytes, tuple[ChaCha20Poly1305, ReplayWindow]] = OrderedDict()
        self._ended: set[bytes] = set()  # salts of streams whose replay windows were discarded

    def __repr__(self) -> str:
        return f"<Box for {key_fingerprint(self._peer)}>"

    @classmethod
    def between(cls, identity: Identity, public: str) -> Self:
        """Make a box from a public key in base64, as messages carry it; ValueError if it is not one."""
        return cls(identity, base64.b64decode(public, validate=True))

    def seal(self, payload: Any, *, room_id: str = "") -> dict[str, Any]:
        """Return the sealed payload, to be sent in place of the plain one.

        Parameters
        ----------
        payload : any
            A value of the JSON data model.
        room_id : str
            The room that it is sent to: it can be opened in no other. Empty for no room.

        Raises
        ------
        MessageError
            The payload is not in the JSON data model. The error does not show it.
        """
        check_payload(payload)
        plain = msgspec.json.encode(payload)
        # Padding as in ISO/IEC 7816-4: a one bit, then zeros.
        plain += b"\x80" + bytes(-(len(plain) + 1) % PAD_BYTES)
        count, self._count = self._count, self._count + 1
        if count >= _MAX_COUNT:
            raise MessageError("this box has sealed all that it may: make another", "sealed")
        sealed = self._sealer.encrypt(_nonce(count), plain, _outside(room_id))
        return {"salt": _text(self._salt), "n": count, "box": _text(sealed)}

    def open(self, sealed: object, *, room_id: str = "") -> Any:
        """Return the payload that the peer sealed.

        Raises
        ------
        MessageError
            With code ``"sealed"``: it was altered in transit, sealed for another room or peer,
            received before, or is not a sealed payload. Also when a replay could not be
            detected: since the last message of its own box, `MAX_STREAMS` other boxes of the
            peer were used, or the peer has used more than `MAX_STARTS` boxes in all.
        """
        fields = fields_of(sealed)
        count = fields.get("n")
        salt, data = _bytes(fields.get("salt")), _bytes(fields.get("box"))
        if (
            type(count) is not int
            or not 0 <= count < _MAX_COUNT
            or salt is None
            or len(salt) != 16
            or not data
        ):
            raise MessageError('expected {"salt", "n", "box"}, got something else', "sealed")
        if salt in self._ended:
            raise MessageError(
                f"{MAX_STREAMS} newer boxes of that peer were used since: it may be a replay", "sealed"
            )
        if salt not in self._streams and len(self._streams) + len(self._ended) >= MAX_STARTS:
            raise MessageError(f"that peer has made {MAX_STARTS:,} boxes: make new keys", "sealed")
        cipher, window = self._streams.get(salt) or (
            self._cipher(salt, self._peer, self._own),
            ReplayWindow(),
        )
        try:
            plain = cipher.decrypt(_nonce(count), data, _outside(room_id))
        except InvalidTag:
            raise MessageError(
                "this was not sealed for here by that peer, or was changed on the way", "sealed"
            ) from None
        # Only after authentication: a forged counter must not advance the replay window.
        window, fresh = window.take(count)
        if not fresh:
            raise MessageError("this sealed message came before, or is too old to tell: a replay", "sealed")
        self._streams[salt] = cipher, window
        self._streams.move_to_end(salt)
        while len(self._streams) > MAX_STREAMS:
            self._ended.add(self._streams.popitem(last=False)[0])
        body, mark, _ = plain.rstrip(b"\0").rpartition(b"\x80")
        if not mark:
            raise MessageError("the sealed payload has no end", "sealed")
        return parse_json(body)

    def _cipher(self, salt: bytes, sender: bytes, receiver: bytes) -> ChaCha20Poly1305:
        """Return the cipher of one direction, so that a message cannot be reflected to its sender."""
        info = b"rtlab sealed payload 1" + sender + receiver
        return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, salt, info).derive(self._shared))


def _nonce(count: int) -> bytes:
    return count.to_bytes(12, "big")


def _outside(room_id: str) -> bytes:
    return b"room " + room_id.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: object) -> bytes | None:
    if not isinstance(text, str) or len(text) > 2 * MAX_MESSAGE_BYTES:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
