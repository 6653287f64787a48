from __future__ import annotations

import math

import numpy as np

from rtlab.experiments.tcp_timeouts_in_network_namespaces import DeadPath, Segment
from rtlab.figures.reconnect.dead_peers import dead_path_figure, detection_figure
from rtlab.models.detection_time_distribution import ping_timeout, sweep


def test_each_heartbeat_has_its_dots_on_its_law() -> None:
    laws = {"ping": ping_timeout(1.0, 0.5), "sweep": sweep(1.0)}
    figure = detection_figure({"ping": [0.6, 1.4], "sweep": [1.5, math.inf]}, laws, title="two")
    law, dots, *_ = figure.axes[0].lines
    assert law.get_color() == dots.get_color()
    assert law.get_linestyle() != figure.axes[0].lines[2].get_linestyle()  # equal laws are both seen
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["law: ping", "measured: ping", "law: sweep", "measured: sweep"]
    assert figure.png()


def test_a_connection_that_outlives_the_recording_says_so() -> None:
    lives = DeadPath("only listens", {}, sent=False)
    dies = DeadPath("has sent", {}, True, 12.6, "ETIMEDOUT", (Segment(0.0, "data"), Segment(0.2, "data")))
    figure = dead_path_figure([lives, dies], 20, title="two", ours=1.5)
    repeats = [artist for artist in figure.axes[0].collections if artist.get_label() == "data, sent again"]
    drawn = [np.asarray(artist.get_offsets()).tolist() for artist in repeats]
    assert drawn == [[], [[0.2, 0.0]]]  # the first segment is the sending itself
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["still open", "13 s"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["only listens", "has sent"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == len(set(legend))
    assert figure.png()
