from __future__ import annotations

import pytest

from rtlab.errors import LabError
from rtlab.lab.fetch_prometheus_page import MetricsReader


async def test_a_node_that_is_not_there_is_one_error() -> None:
    async with MetricsReader("t") as reader:
        with pytest.raises(LabError, match="expected a node's metrics"):
            await reader.read("http://127.0.0.1:9")
