from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tests.notebook_links import anchors, broken_links, neighbours_missing, unanswered

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_link_leads_to_a_notebook_and_a_heading(path: Path):
    assert broken_links(path) == []


def test_each_notebook_links_to_its_neighbours():
    assert neighbours_missing(NOTEBOOKS) == []


#: The cheat sheet that the lab began with: its table, its code, its lists.
SEED = """\
row *WebSockets*|row *SSE*|row *Long Polling*|row *WebRTC*
column *направление*|column *задержка*|column *overhead*|column *proxy support*|column *use case*
`WebSocketConnection`|`useWebSocket`|`WebSocketContext`|`ServerSentEvents`|`RoomManager`|`MessageQueue`
`MessageBatcher`|`WebSocketPool`|`SecureWebSocket`|`RealtimeClient`
scaling: sticky sessions|scaling: Redis pub/sub|scaling: message brokers (RabbitMQ, Kafka)
lost connections: exponential backoff|lost connections: heartbeat|lost connections: circuit breaker
fallback strategies
1. Graceful degradation|2. Message validation|3. Rate limiting|4. Monitoring|5. Testing|6. Error recovery
7. Security: token refresh|7. Security: message encryption
8. Performance: batching|8. Performance: compression|8. Performance: connection pooling
Scaling: WebSocket servers|Load balancing: sticky or stateless|Ordering: |Backpressure: slow clients
Monitoring: metrics of WebSocket|Security: CSRF and XSS
"""


def test_the_index_answers_every_entry_of_the_cheat_sheet():
    assert unanswered(NOTEBOOKS[0], SEED.replace("\n", "|").strip("|").split("|")) == []


def test_the_map_names_every_other_notebook():
    assert unanswered(NOTEBOOKS[0], [f"[{path.stem}]({path.name})" for path in NOTEBOOKS[1:]]) == []


def write(folder: Path, name: str, *texts: str) -> Path:
    path = folder / name
    nbformat.write(new_notebook(cells=[new_markdown_cell(text) for text in texts]), path)
    return path


def test_an_anchor_is_the_heading_without_its_markup(tmp_path: Path):
    text = "# A `retry:` *later*\n\n```\n# not this\n```\n\n### [Two](01_two.ipynb) words"
    assert anchors(write(tmp_path, "00_one.ipynb", text)) == {"A-retry:-later", "Two-words"}


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[a](01_two.ipynb#Run)", None),
        ("[a](01_two.ipynb)", None),
        ("[a](#Goal)", None),
        ("[a](https://example.org/x.ipynb#y)", None),
        ("[a](03_gone.ipynb)", "no such notebook"),
        ('<a href="03_gone.ipynb">a</a>', "no such notebook"),
        ("[a](01_two.ipynb#run)", "no such heading"),
        ("[a](#Run)", "no such heading"),
        ("[a](01_two.ipynb#W-≥-N/μ)", "ASCII"),
    ],
)
def test_a_broken_link_is_seen(tmp_path: Path, link: str, complaint: str | None):
    write(tmp_path, "01_two.ipynb", "## Run\n### W ≥ N/μ")
    found = broken_links(write(tmp_path, "00_one.ipynb", "# Goal", f"See {link}."))
    assert len(found) == (complaint is not None)
    assert all(str(complaint) in problem for problem in found)


def test_a_lost_neighbour_is_seen(tmp_path: Path):
    both = "[a](00_a.ipynb) [c](02_c.ipynb#Run)"
    paths = [
        write(tmp_path, "00_a.ipynb", "# A", "[b](01_b.ipynb)"),
        write(tmp_path, "01_b.ipynb", "# B", both),
        write(tmp_path, "02_c.ipynb", "# C", "[b](01_b.ipynb)"),
    ]
    assert neighbours_missing(paths) == []
    write(tmp_path, "01_b.ipynb", "# B", both.replace(" ", "\n"))
    assert neighbours_missing(paths) == ["01_b.ipynb has no line with links to 00_a.ipynb and 02_c.ipynb"]


def test_an_entry_without_a_link_is_unanswered(tmp_path: Path):
    index = write(tmp_path, "00_a.ipynb", "| a | [b](01_b.ipynb) |\n| c | **not yet** |\n\nd [b](01_b.ipynb)")
    assert unanswered(index, ["a", "c", "d"]) == ["c", "d"]
