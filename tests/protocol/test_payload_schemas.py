"""Schemas: by type and version, the failing path named, the value never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtlab.errors import MessageError
from rtlab.protocol.message_format import Message
from rtlab.protocol.payload_schemas import SchemaError, Schemas

OURS = Schemas.load()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("chat", {"text": "hi"}),
        ("chat", {"text": "hi", "v": 1}),
        ("chat", {"v": 2, "text": "hi", "mentions": ["ada"]}),
        ("dance", {"what": "ever"}),
        ("join_room", None),
        ("order", {"item": "tea", "quantity": 2}),
    ],
)
def test_what_fits_passes(kind: str, payload: Any) -> None:
    OURS.check(Message(kind, payload))


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("chat", {"text": 5}, "chat: payload/text: the value is not of type"),
        ("chat", {"text": "s3cret" * 400}, "payload/text: the value is longer"),
        ("chat", None, "chat: payload: the value is not of type"),
        ("chat", {"text": "hi", "mentions": []}, "chat: payload: Additional properties"),
        ("chat", {"v": 2, "text": "hi", "mentions": ["ada", 7]}, "chat: payload/mentions/1: "),
        ("chat", {"v": 3, "text": "hi"}, r"payload/v: expected a known version \(1, 2\)"),
        ("chat", {"v": True, "text": "hi"}, "payload/v"),
        ("order", {"item": "tea", "quantity": 1, "price": 0.01}, "order: payload: Additional"),
        ("join_room", {"roomId": "r", "epoch": "e"}, "join_room: payload"),
    ],
)
def test_what_does_not_is_named_by_its_path(kind: str, payload: Any, said: str) -> None:
    with pytest.raises(MessageError, match=said) as refused:
        OURS.check(Message(kind, payload))
    assert refused.value.code == "schema"
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, [], {"$ref": "http://127.0.0.1:1/x"}, {"$ref": "#/no"}, {"pattern": "("}, 7]
)
def test_what_is_no_schema_is_refused_and_nothing_is_fetched(schema: object) -> None:
    with pytest.raises(SchemaError, match="chat"):
        Schemas({("chat", 1): schema})


def test_a_pattern_that_backtracks_for_ever_takes_no_time() -> None:
    schemas = Schemas({("chat", 1): {"pattern": "^(a+)+$"}})
    with pytest.raises(MessageError):
        schemas.check(Message("chat", "a" * 50_000 + "!"))


def test_a_folder_tells_its_bad_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="expected a folder with files like"):
        Schemas.load(tmp_path)
    (tmp_path / "chat.json").write_text("{}")
    assert Schemas.load(tmp_path).types == {"chat": [1]}
    (tmp_path / "chat.new.json").write_text("{}")
    with pytest.raises(SchemaError, match=r"got chat\.new\.json"):
        Schemas.load(tmp_path)


def test_what_cannot_be_checked_is_refused_whatever_the_library_raises() -> None:
    deep: object = "x"
    for _ in range(300):
        deep = [deep]
    schemas = Schemas.load()
    for payload in ({"item": "tea", "quantity": "\ud800"}, {"item": "tea", "quantity": deep}):
        with pytest.raises(MessageError, match="order: payload: cannot be checked") as caught:
            schemas.check(Message("order", payload))
        assert caught.value.code == "schema"
