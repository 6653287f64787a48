"""A ``batch``: many messages in one frame, from a client to the server or the other way."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from rtlab.errors import MessageError
from rtlab.protocol.messages import Message

__all__ = ["message_of", "messages_of"]


def message_of(item: Any) -> Message:
    """Return one message of a batch that a codec has decoded, and so checked its values.

    Parameters
    ----------
    item : any
        From the batch's payload.

    Returns
    -------
    Message

    Raises
    ------
    MessageError
        With code ``"wrong_type"``.

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
    """Return a batch's messages in their order; an error stands where one is none.

    Parameters
    ----------
    batch : Message
        As a codec decoded it.

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
