"""Attributes of toxics: which are refused, and changes that reach open connections."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.faults.errors import FaultError
from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.toxics import TOXICS, parse_entry
from tests.faults.conftest import eventually


async def test_an_update_takes_effect_on_open_connections(proxy: Proxy, dial) -> None:
    proxy.add_toxic({"type": "timeout", "attributes": {"timeout": 60_000}})
    reader, _ = await dial()
    await eventually(lambda: proxy.links)
    proxy.update_toxic("timeout_downstream", {"attributes": {"timeout": 10}})
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_toxicity_touches_its_share_and_only_grows(proxy: Proxy, dial) -> None:
    for _ in range(60):
        await dial()
    await eventually(lambda: len(proxy.links) == 60)
    proxy.add_toxic({"type": "latency", "toxicity": 0.5})
    touched = {t.number for t in proxy.links if t.down.stages}
    assert 15 < len(touched) < 45
    proxy.update_toxic("latency_downstream", {"toxicity": 0.8})
    more = {t.number for t in proxy.links if t.down.stages}
    assert touched < more
    proxy.update_toxic("latency_downstream", {"toxicity": 0})
    assert not any(t.down.stages for t in proxy.links)


@pytest.mark.parametrize(
    ("kind", "attributes", "error"),
    [
        ("bandwidth", {"rate": -1}, "rate must not be negative"),
        ("slicer", {"average_size": 0}, "average_size must be at least 1"),
        ("slicer", {"average_size": 5, "size_variation": 5}, "size_variation must be less"),
        ("slicer", {"average_size": 1.5}, "Expected `int`"),
        ("limit_data", {"bytes": -1}, "bytes must not be negative"),
        ("corrupt", {}, "missing required field: probability"),
        ("corrupt", {"probability": 1.1}, "probability must be above 0"),
        ("cut", {"how": "softly"}, "Invalid enum value"),
        ("http_status", {"status": 200}, "status must be from 300 to 599"),
        ("strip_upgrade", None, "works on the upstream stream only"),
    ],
)
def test_attributes_that_make_no_sense(kind: str, attributes: dict[str, float] | None, error: str) -> None:
    body = {"type": kind, "attributes": attributes, "stream": "downstream" if attributes is None else ""}
    with pytest.raises(FaultError, match=error):
        parse_entry(body)


@pytest.mark.parametrize("kind", sorted(TOXICS))
def test_each_toxic_says_what_it_can_and_cannot_imitate(kind: str) -> None:
    text = " ".join((TOXICS[kind].__doc__ or "").split())
    assert "Imitates " in text
    assert any(word in text for word in ("cannot", "never", " not ", "would not")), text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["latency", "slicer", "corrupt", "cut", "http_status"]) | json_values,
            "name": json_values,
            "stream": st.sampled_from(["upstream", "downstream"]) | json_values,
            "toxicity": json_values,
            "attributes": json_values
            | st.dictionaries(st.sampled_from(["latency", "jitter", "average_size", "how"]), json_values),
        },
    )
    | json_values
)
def test_any_body_is_a_toxic_or_an_error(body: object) -> None:
    with contextlib.suppress(FaultError):
        entry = parse_entry(body)
        assert parse_entry(entry.to_dict()).to_dict() == entry.to_dict()
