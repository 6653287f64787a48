from __future__ import annotations

import numpy as np
import pandas as pd

from rtlab.figures.comparison import comparison_figure
from rtlab.figures.palette import TRANSPORT_COLORS

COLUMNS = ["connect_p50_ms", "push_bytes", "send_bytes", "client_cpu_ms", "server_cpu_ms"]


def test_it_draws_what_it_is_given():
    frame = pd.DataFrame([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], index=["websocket", "sse"], columns=COLUMNS)
    latencies = {"websocket": np.array([0.2, 0.1, np.nan]), "sse": np.array([])}
    chart = comparison_figure(frame, latencies, about="direct")
    assert repr(chart) == "<Chart: websocket, sse compared: direct>"
    push, connect, _, cpu = chart.axes
    (line,) = (line for line in push.lines if line.get_label() == "websocket")
    assert list(line.get_xdata()) == [0.1, 0.2]
    assert line.get_color() == TRANSPORT_COLORS["websocket"]
    assert [bar.get_height() for bar in connect.patches] == [1, 6]
    assert [bar.get_height() for bar in cpu.patches] == [4, 9, 5, 10]
