from __future__ import annotations

import pandas as pd

from rtlab.figures.transports.tls_cost import tls_cost_figure


def test_both_directions_and_both_ends_are_added():
    index = pd.MultiIndex.from_tuples([("TLSv1.3", "first")], names=["version", "session"])
    columns = ["handshake_ms", "up_bytes", "down_bytes", "server_cpu_ms", "client_cpu_ms"]
    handshake, moved, cpu = tls_cost_figure(pd.DataFrame([[1.5, 400, 900, 2, 3]], index, columns)).axes
    assert [axes.patches[0].get_height() for axes in (handshake, moved, cpu)] == [1.5, 1300, 5]
    assert [label.get_text() for label in cpu.get_xticklabels()] == ["TLSv1.3 first"]
