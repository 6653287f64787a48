"""A box for the bytes of an event stream: the reader guesses, then sees what a decoder makes of them."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Final

import ipywidgets

from rtlab.client.transports.sse_decoder import SseDecoder
from rtlab.widgets.escaped_bytes_parser import parse_portions

__all__ = ["StreamPlayground"]

MAX_BYTES: Final = 2_000
_HELP: Final = (
    r"Type bytes: a line's end is an LF, and <code>\n \r \t \0 \xff \u2028 \\</code> are understood. "
    r"<code>|</code> is a cut: there one portion ends and the next begins (<code>\|</code> for the sign)."
)
_ASK: Final = "How many events does this deliver? Say a number first, and press Enter."
_WIDE: Final = {"width": "min(100%, 720px)"}


class StreamPlayground:
    r"""Takes the bytes of an event stream, and shows what comes out, portion by portion.

    Parameters
    ----------
    examples : mapping of str to str
        Name → example stream, as it would be typed into the box.
    guess_first : bool
        Whether the answer waits for the reader's guess; the box has a switch for it.

    Notes
    -----
    Works with the keyboard alone: Tab from field to field, Enter commits the guess. If the
    text cannot be parsed, the box says why, and the text stays as it was typed.

    Examples
    --------
    >>> box = StreamPlayground({"one event": r"data: x\n|\n"})
    >>> box.decode(r"data: x\n|\n")
    [(b'data: x\n', []), (b'\n', [SseEvent(type='message', data='x', id='')])]
    """

    def __init__(self, examples: Mapping[str, str], *, guess_first: bool = True) -> None:
        self._example: Any = ipywidgets.Dropdown(
            options=list(examples.items()), description="Example", layout=_WIDE
        )
        self._text: Any = ipywidgets.Textarea(
            value=next(iter(examples.values())), description="Bytes", rows=4, layout=_WIDE
        )
        self._guess: Any = ipywidgets.Text(
            description="Events?",
            placeholder="your number",
            continuous_update=False,
            layout={"width": "220px"},
        )
        self._asks: Any = ipywidgets.Checkbox(value=guess_first, description="guess first", indent=False)
        self._answer: Any = ipywidgets.HTML()
        row = ipywidgets.HBox([self._guess, self._asks])
        self._box: Any = ipywidgets.VBox(
            [ipywidgets.HTML(_HELP), self._example, self._text, row, self._answer]
        )
        self._example.observe(self._choose, "value")
        self._text.observe(self._ask, "value")
        self._guess.observe(self._show, "value")
        self._asks.observe(self._show, "value")
        self._show()

    @staticmethod
    def decode(typed: str) -> list[tuple[bytes, list[Any]]]:
        """Return each portion and the events that it completes.

        Raises
        ------
        ValueError
            If the text cannot be parsed; the message is a sentence for the person who typed it.
        """
        return [(portion, events) for portion, events, _ in _run(typed)]

    def _choose(self, change: Any) -> None:
        self._text.value = change["new"]

    def _ask(self, _change: Any = None) -> None:
        """Clear the guess: the bytes have changed, so a guess about the former ones no longer counts."""
        if self._guess.value:
            self._guess.value = ""  # calls `_show`
        else:
            self._show()

    def _show(self, _change: Any = None) -> None:
        self._answer.value = f'<div role="status">{self._answer_to(self._text.value)}</div>'

    def _answer_to(self, typed: str) -> str:
        try:
            steps = _run(typed)
        except ValueError as error:
            return f"<b>These bytes cannot be read.</b> {html.escape(str(error))}"
        said = self._guess.value.strip()
        if not said and self._asks.value:
            return f"<b>Guess.</b> {_ASK}"
        if said and not (said.isascii() and said.isdigit() and len(said) < 5):
            return f"<b>Guess.</b> Expected a whole number such as 2, got {_code(said[:40])}."
        return _sentence(said, sum(len(events) for _, events, _ in steps)) + _table(steps)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._box._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        return f"<StreamPlayground: {len(self._example.options)} examples>"


def _run(typed: str) -> list[tuple[bytes, list[Any], SseDecoder]]:
    portions = parse_portions(typed)
    if (size := sum(map(len, portions))) > MAX_BYTES:
        raise ValueError(f"this box takes at most {MAX_BYTES:,} bytes, these are {size:,}: leave some out")
    decoder = SseDecoder()
    return [(portion, decoder.feed(portion), decoder) for portion in portions]


def _sentence(said: str, right: int) -> str:
    events = f"{right} event{'' if right == 1 else 's'}"
    if not said:
        return f"It delivers <b>{events}</b>."
    verdict = "✓ right." if int(said) == right else "✗ look closer."
    return f"You said {int(said)}; it delivers <b>{events}</b>: {verdict}"


def _table(steps: list[tuple[bytes, list[Any], SseDecoder]]) -> str:
    left = 'style="text-align:left;vertical-align:top;padding:2px 16px 2px 0"'
    rows = "".join(
        f"<tr><td {left}>{n}</td><td {left}>{_code(portion)}</td><td {left}>{_events(events)}</td></tr>"
        for n, (portion, events, _) in enumerate(steps, 1)
    )
    heads = "".join(f"<th {left}>{name}</th>" for name in ("portion", "bytes", "events that it completes"))
    return f"<table><tr>{heads}</tr>{rows}</table>{_end(steps)}"


def _events(events: list[Any]) -> str:
    return (
        "<br>".join(f"type {_code(e.type)}, data {_code(e.data)}, id {_code(e.id)}" for e in events) or "none"
    )


def _end(steps: list[tuple[bytes, list[Any], SseDecoder]]) -> str:
    """Say what a reconnect would do now, and what the stream's end would drop."""
    if not steps:
        return "<p>No bytes, no events.</p>"
    decoder = steps[-1][2]
    wait = "as long as the client likes" if decoder.retry is None else f"{1000 * decoder.retry:,.0f} ms"
    sent = f"the id {_code(decoder.last_event_id)}" if decoder.last_event_id else "no id"
    then = f"A reconnect now would wait {wait}, and send {sent}."
    open_events = decoder.feed(b"\n\n\n")  # the first LF may belong to a CR before it
    if open_events:
        then += (
            f" If the stream ends here, {_code(open_events[0].data)} is dropped: its blank line never came."
        )
    return f"<p>{then}</p>"


def _code(value: object) -> str:
    # Without the style a browser would show several spaces as one.
    return f'<code style="white-space:pre-wrap">{html.escape(repr(value))}</code>'
