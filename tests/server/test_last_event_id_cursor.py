from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.server.frames_encoded_once import RoomPosition
from rtlab.server.last_event_id_cursor import Cursor, CursorWriter, format_cursor, parse_cursor

rooms = st.builds(
    RoomPosition,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.text("0123456789abcdef", min_size=1, max_size=8),
    st.integers(0, 10**14),
)


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.integers(0, 10**14), st.lists(rooms, max_size=9)
)
def test_what_was_written_is_read(session: str, position: int, given_rooms: list[RoomPosition]) -> None:
    text = format_cursor(session, position, given_rooms)
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text
    assert parse_cursor(text) == Cursor(session, position, tuple(given_rooms))


@given(st.text())
def test_anything_else_is_no_cursor_and_no_crash(text: str) -> None:
    cursor = parse_cursor(text)
    if cursor is not None:
        assert cursor.position >= 0


@pytest.mark.parametrize(
    "text",
    ["", "a", "a.", ".1", "a.-1", "a.1~", "a.1~r:e:x", "a.1~r:e:²", "a.1~::1", "a.1~é:e:1", "a.1~\udcff:e:1"],
)
def test_broken_cursors_count_as_none(text: str) -> None:
    assert parse_cursor(text) is None


def test_rooms_that_do_not_fit_are_left_out() -> None:
    many = [RoomPosition("r" * 128 + str(n), "e", n) for n in range(64)]
    text = format_cursor("s", 1, many)
    assert len(text) <= 6000
    cursor = parse_cursor(text)
    assert cursor is not None
    assert 40 < len(cursor.rooms) < 64


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(["a", "my room", "部屋", "x" * 128, "~:%"]), st.none() | st.integers(1, 1 << 40)
        ),
        max_size=40,
    ),
    wide=st.booleans(),
)
def test_a_writer_of_cursors_says_what_is_said_at_once(
    moves: list[tuple[str, int | None]], wide: bool
) -> None:
    rooms = {f"r{n}": RoomPosition(f"r{n}", "e" * 100, n) for n in range(60 if wide else 0)}
    writer = CursorWriter("s1", rooms.values())
    for position, (room_id, offset) in enumerate(moves):
        place = RoomPosition(room_id, "e1", offset)
        writer.move(place)
        if offset is None:
            rooms.pop(room_id, None)
        else:
            rooms[room_id] = place
        assert writer.at(position) == format_cursor("s1", position, rooms.values())
