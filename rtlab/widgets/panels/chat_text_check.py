"""What a chat shows of a message: plain text of limited length, since the sender may be anybody."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["MAX_TEXT", "check_text", "text_of"]

#: Longest text of one message, in characters.
MAX_TEXT: Final = 2_000


def check_text(text: object) -> str:
    """Return the text to send, without spaces around it.

    Raises
    ------
    ValueError
        If the text is empty or too long; the message is a sentence for the person who typed it.

    Examples
    --------
    >>> check_text("  hi ")
    'hi'
    """
    said = text.strip() if isinstance(text, str) else ""
    if not said:
        raise ValueError("there is nothing to send: write something first")
    if len(said) > MAX_TEXT:
        raise ValueError(
            f"a message has at most {MAX_TEXT:,} characters, this one {len(said):,}: send it in parts"
        )
    return said


def text_of(payload: Any) -> str:
    """Return the text of a chat message; of any other payload, its JSON.

    The result is short and can be sent to a browser, whatever the payload holds.

    Parameters
    ----------
    payload : any
        Any JSON value, from any sender.

    Examples
    --------
    >>> text_of({"text": "<b>hi</b>"}), text_of(["no", "text"])
    ('<b>hi</b>', '["no", "text"]')
    """
    text: Any = payload.get("text") if isinstance(payload, dict) else payload  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if not isinstance(text, str):
        text = json.dumps(payload, ensure_ascii=False, default=repr)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]} … and {len(text) - MAX_TEXT:,} characters more"
    return text.encode("utf-8", "replace").decode()  # no lone surrogates, which JSON's bytes cannot carry
