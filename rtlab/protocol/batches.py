"""A ``batch``: many messages in one frame, from a client to the server or from the server to a client."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.message_format import Message

__all__ = ["message_of", "messages_of"]


def message_of(item: Any) -> Message:
    """Return one message of a batch whose values a codec has decoded and checked.

    Parameters
    ----------
    item : any
        One item of the batch's payload.

    Returns
    -------
    Message

    Raises
    ------
    MessageError
        The item is not a message; the code is ``"wrong_type"``.

    Examples
    --------
    >>> message_of({"type": "chat", "roomId": "r"}).room_id
    'r'
    """
    try:
        return msgspec.convert(item, Message)
    except (msgspec.ValidationError, RecursionError) as error:
        raise MessageError(f"a batch's message: {error}", "wrong_type") from None


def messages_of(batch: Message) -> list[Message | MessageError]:
    """Return a batch's messages in order, with an error in the place of each item that is not a message.

    Parameters
    ----------
    batch : Message
        The batch, as a codec decoded it.

    Returns
    -------
    list

    Examples
    --------
    >>> [type(item).__name__ for item in messages_of(Message("batch", [{"type": "a"}, 5]))]
    ['Message', 'MessageError']
    """
    items: object = batch.payload
    if not isinstance(items, list):
        return [MessageError("a batch's payload is a list of messages", "wrong_type")]
    found: list[Message | MessageError] = []
    for item in cast("list[Any]", items):
        try:
            found.append(message_of(item))
        except MessageError as error:
            found.append(error)
    return found
