"""Scripts of one widget share one scope: no name may be declared twice in it."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from rtlab.widgets.join_javascript_and_css import page_files

PAGES = (
    ("panel.js", "axis_ticks.js", "kernel_liveness.js", "keys_left_to_notebook.js", "timeline.js"),
    ("panel.js", "axis_ticks.js", "kernel_liveness.js", "inspector.js"),
    ("panel.js", "axis_ticks.js", "kernel_liveness.js", "keys_left_to_notebook.js", "batching.js"),
    ("panel.js", "axis_ticks.js", "kernel_liveness.js", "keys_left_to_notebook.js", "board.js"),
    ("panel.js", "kernel_liveness.js", "keys_left_to_notebook.js", "poll_while_visible.js", "faults.js"),
    ("panel.js", "kernel_liveness.js", "poll_while_visible.js", "queue.js"),
    ("panel.js", "kernel_liveness.js", "poll_while_visible.js", "rooms.js"),
    ("panel.js", "kernel_liveness.js", "chat.js"),
)


@pytest.mark.parametrize("names", PAGES)
def test_no_name_is_declared_twice_and_one_module_is_exported(names: tuple[str, ...]) -> None:
    script = page_files(*names)
    declared = Counter(re.findall(r"^(?:function|class|const|let) (\w+)", script, re.MULTILINE))
    assert [name for name, count in declared.items() if count > 1] == []
    assert script.count("export default") == 1
