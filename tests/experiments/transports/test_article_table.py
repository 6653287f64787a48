from __future__ import annotations

import re

import numpy as np

from rtlab.capture.wire_cost_tables import WireCost, WireReport
from rtlab.experiments.transports.article_table import ARTICLE, article_table, filled_table
from rtlab.experiments.transports.comparison_result import Comparison, Turn
from rtlab.experiments.transports.connect_round_trips import ConnectTimeFit, RoundTrips
from rtlab.experiments.transports.proxy_matrix import recorded_matrix
from rtlab.measure.recorder import Recorder
from rtlab.protocol.transport_names import TRANSPORTS


def test_the_article_has_words_only():
    table = article_table()
    assert [row[0] for row in table.rows] == ["WebSockets", "SSE", "Long polling", "WebRTC"]
    assert list(ARTICLE) == list(TRANSPORTS)
    assert not re.search(r"\d", repr(table).replace("P2P", ""))


def test_each_word_gets_its_number_or_a_dash():
    turns = [Turn(transport="sse", connect=0.1, echoes=[0.1], messages=1, server_cpu=0, client_cpu=0)]
    stopped = Comparison(("websocket", "sse"), turns, Recorder(), None, rate=1, size=100, rtt_ms=None)
    lines = {"sse": ConnectTimeFit(np.array([0.0, 1]), np.array([0.0, 2]), slope=2.04, base_ms=0.0)}
    table = filled_table(stopped, RoundTrips(lines), recorded_matrix())
    websocket, sse = table.rows
    assert websocket[-1] == "–"
    assert sse[-1] == "‹2.0›"
    assert websocket[2] == "“very low”: ‹nothing measured›"
    assert sse[3] == "“medium”: ‹not counted›"
    assert websocket[4] == "“limited”: nginx: blocked; HAProxy: cut when idle"
    assert sse[4] == "“good”: nginx: buffered; HAProxy: cut when idle"
    costs = [
        WireCost(
            transport=name,
            step=step,
            direction=way,
            payload_bytes=100,
            framing_bytes=None,
            http_bytes=None,
            stream_bytes=100,
            packets=1,
            wire_bytes=152 if step == "push" else 180,
            kernel_packets=None,
        )
        for name in ("websocket", "sse")
        for step in ("connect", "push", "send")
        for way in ("up", "down")
    ]
    counted_later = WireReport(costs, 100, 1)
    table = filled_table(stopped, RoundTrips(lines), recorded_matrix(), counted_later)
    assert table.rows[1][3] == "“medium”: ‹204› down, ‹260› up"


def test_the_caption_says_whether_the_proxies_were_measured_or_recorded():
    nothing = Comparison((), [], Recorder(), None, rate=1, size=100, rtt_ms=None)
    proxies = recorded_matrix()
    date = proxies.attrs["about"]["date"]
    assert filled_table(nothing, RoundTrips({}), proxies).caption.endswith(
        f"proxies: ‹the run recorded on {date}›"
    )
    proxies.attrs.clear()  # as `proxy_matrix` returns it
    assert filled_table(nothing, RoundTrips({}), proxies).caption.endswith("proxies: ‹measured here›")
