"""Marks: by folder and file here, by `pytest.mark` in the tests.

- ``alone``: measures time; nothing may run beside it.
- ``calm``: waits most of the time, and takes a busy machine badly; three such files may run
  beside it.
- ``pair``: a notebook; one such file may run beside it.
- ``refusing``: a notebook of which a measurement refuses a machine that is too busy for it. It leaves most
  of two processors idle itself, so one such file may run beside it.
- ``long``: takes 20 s or more beside others; its file begins first in its stage.
- ``joined``: shares what is expensive with the files beside it, so one worker takes them all.
- ``spread``: needs nothing of its file's other tests, so any worker takes it.
- ``cold``: its servers and kernels start as a user's do, also where `tests.warm_start` would fork them.
- ``quick``: starts no server and no browser; ``pytest -m quick`` takes less than a minute.
"""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["ALONE", "COLD", "QUICK"]

REFUSING = (
    "notebooks/01_transports.ipynb",
    "notebooks/04_long_polling.ipynb",
    "notebooks/05_webrtc.ipynb",
    "notebooks/08_heartbeats_and_breakers.ipynb",
)
ALONE = (
    "tests/bench/suites/test_faults.py",
    "tests/bench/suites/test_recorder.py",
    "tests/bench/test_registry.py",
)
PAIR = (
    "notebooks",
    "tests/browser/test_notebooks.py",
)
CALM = (
    "tests/exercises/test_00.py",
    "tests/exercises/test_05.py",
    "tests/exercises/test_06.py",
    "tests/exercises/test_08.py",
    "tests/experiments/throughput/test_coordinated_omission.py",
)
LONG = (
    "tests/test_style.py",
    "tests/test_hostile_reader.py",
    "tests/browser",
    "tests/bench/suites/test_observer.py",
    "tests/exercises/test_01.py",
    "tests/exercises/test_05.py",
    "tests/exercises/test_07.py",
    "tests/exercises/test_08.py",
    "tests/experiments/test_time_until_dead_peer_noticed.py",
    "tests/experiments/transports/test_long_poll_delay.py",
    "tests/experiments/transports/test_proxy_matrix.py",
    "tests/experiments/transports/test_push_equivalence.py",
)
#: They look into one JupyterLab, each kind of it, with one browser.
JOINED = (
    "tests/browser/test_batching_explorer.py",
    "tests/browser/test_chat_panel.py",
    "tests/browser/test_event_stream_widgets.py",
    "tests/browser/test_fault_panel.py",
    "tests/browser/test_live_plot.py",
    "tests/browser/test_panels.py",
    "tests/browser/test_predict.py",
)
COLD = (
    # Here memory is measured, which forks share.
    "notebooks/12_compression_and_encoding.ipynb",
    "notebooks/13_backpressure.ipynb",
    "notebooks/16_input_limits_encryption.ipynb",
    "notebooks/18_monitoring.ipynb",
    "tests/experiments/security/test_slow_loris_bomb_and_smuggling.py",
    "tests/experiments/throughput/test_compression_memory.py",
    # And here what a start is.
    "tests/bench",
    "tests/faults/test_main.py",
    "tests/lab/test_lab.py",
    "tests/processes",
    "tests/server/test_main.py",
    "tests/test_kernel.py",
)
QUICK = (
    "tests/figures",
    "tests/models",
    "tests/policies",
    "tests/protocol",
    "tests/test_layers.py",
    "tests/test_notebooks_meta.py",
    "tests/test_public.py",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures time; nothing may run beside it")
    config.addinivalue_line("markers", "calm: takes a busy machine badly; three such files may run beside it")
    config.addinivalue_line("markers", "pair: a notebook; one such file may run beside it")
    config.addinivalue_line("markers", "refusing: a notebook that refuses a busy machine; one such beside it")
    config.addinivalue_line("markers", "long: takes 20 s or more; its file begins first in its stage")
    config.addinivalue_line("markers", "joined: one worker takes all such files of a folder")
    config.addinivalue_line("markers", "spread: needs nothing of its file's other tests; any worker takes it")
    config.addinivalue_line("markers", "cold: its servers and kernels start as a user's do")
    config.addinivalue_line("markers", "quick: starts no server and no browser")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folders = {
        "alone": ALONE,
        "calm": CALM,
        "pair": PAIR,
        "refusing": REFUSING,
        "joined": JOINED,
        "long": LONG,
    }
    folders |= {"cold": COLD, "quick": QUICK}
    root = f"{config.rootpath}/"
    marks = {
        path: [mark for mark, inside in folders.items() if _inside(str(path).removeprefix(root), inside)]
        for path in {item.path for item in items}
    }
    for item in items:
        for mark in marks[item.path]:
            item.add_marker(mark)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave notebooks unread where only quick tests are wanted."""
    quick = config.option.markexpr.strip() == "quick"
    return True if quick and collection_path.suffix == ".ipynb" else None


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
