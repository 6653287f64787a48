"""Checks what a message says: its payload against the schema of its type, its keys for repeats."""

from __future__ import annotations

from rtlab.errors import MessageError
from rtlab.protocol.duplicate_keys import check_json_keys, check_msgpack_keys
from rtlab.protocol.schemas import Schemas
from rtlab.server.incoming_message import Incoming
from rtlab.server.refusal import Refused

__all__ = ["Validate", "refuse_duplicate_keys"]


class Validate:
    """Refuses a payload that is not what its type must be; each costs a strike.

    Parameters
    ----------
    schemas : Schemas
        By type and version.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._check = schemas.check

    def check(self, incoming: Incoming) -> None:
        """Look, as a step, at one message."""
        try:
            self._check(incoming.message)
        except MessageError as error:
            raise Refused(error.code, str(error), strikes=1) from None


def refuse_duplicate_keys(incoming: Incoming) -> None:
    """Refuse, as a step, bytes in which an object names a key twice; before the decoder, which drops one.

    It reads the message a second time, in Python: strictness has its price.
    """
    data = incoming.data
    try:
        if isinstance(data, str) or (isinstance(data, bytes) and not _binary(incoming)):
            check_json_keys(data)
        elif isinstance(data, bytes):
            check_msgpack_keys(data)
    except MessageError as error:
        raise Refused(error.code, str(error), strikes=1) from None


def _binary(incoming: Incoming) -> bool:
    return bool(getattr(incoming.decoder, "binary", False))
