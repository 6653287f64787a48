from __future__ import annotations

from rtlab.capture.browser_heads import browser_heads


def test_each_is_a_whole_head_of_a_browser_without_an_address_of_this_machine():
    heads = browser_heads()
    assert list(heads) == ["/send", "/poll", "/sse", "/ws"]
    for path, head in heads.items():
        assert head.split("\r\n")[0].endswith("HTTP/1.1")
        assert f" {path}" in head
        assert head.endswith("\r\n\r\n")
        assert "User-Agent: Mozilla/5.0" in head
        assert "127.0.0.1" not in head
    assert "Accept: text/event-stream" in heads["/sse"]
    assert "Upgrade: websocket" in heads["/ws"]
