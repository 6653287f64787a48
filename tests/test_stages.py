"""The stages of `tests/plugins/stages.py`, tried on small suites of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Each test writes down when it ran, and where.
CONFTEST = """
import json, os, pathlib, time
import pytest

def pytest_configure(config):
    config.addinivalue_line("markers", "alone: nothing may run beside it")
    config.addinivalue_line("markers", "calm: three such files may run beside it")
    config.addinivalue_line("markers", "pair: one such file may run beside it")
    config.addinivalue_line("markers", "refusing: one such file may run beside it, and no `pair`")
    config.addinivalue_line("markers", "joined: one worker takes all such files of a folder")
    config.addinivalue_line("markers", "spread: any worker takes it")

@pytest.fixture(autouse=True)
def ran(request):
    begin = time.monotonic()
    yield
    entry = [request.node.nodeid, os.environ.get("PYTEST_XDIST_WORKER", ""), begin, time.monotonic()]
    with open(pathlib.Path(__file__).with_name("ran"), "a") as log:
        log.write(json.dumps(entry) + chr(10))
"""

WAITS = "import time, pytest\n@pytest.mark.parametrize('n', range(3))\ndef test_waits(n): time.sleep(0.2)\n"
MEASURES = """
import time, pytest
pytestmark = pytest.mark.alone
@pytest.mark.parametrize('n', range(3))
def test_measures(n): time.sleep(0.05)
"""


PAIRED = WAITS.replace("test_waits", "test_paired").replace("@", "pytestmark = pytest.mark.pair\n@", 1)
CALM = PAIRED.replace("test_paired", "test_calm").replace("mark.pair", "mark.calm")
REFUSING = PAIRED.replace("test_paired", "test_refusing").replace("mark.pair", "mark.refusing")


class Ran:
    """What a small suite's run said and did."""

    def __init__(self, folder: Path, said: str) -> None:
        log = folder / "ran"
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        self.said = said
        self.together = [entry for entry in entries if "test_waits" in entry[0]]
        self.alone = [entry for entry in entries if "test_measures" in entry[0]]
        self.calm = [entry for entry in entries if "test_calm" in entry[0]]
        self.pairs = [entry for entry in entries if "test_paired" in entry[0]]
        self.refusing = [entry for entry in entries if "test_refusing" in entry[0]]


def command(folder: Path, files: dict[str, str], *options: str) -> list[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    for name, code in files.items():
        (folder / name).write_text(code)
    return [
        *(sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(folder)),
        *("-p", "xdist", "-p", "tests.plugins.stages", "-p", "no:cacheprovider", *options),
    ]


def environment() -> dict[str, str]:
    bare = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    return {"PYTHONPATH": str(ROOT), **bare}


def run(folder: Path, files: dict[str, str], *options: str) -> Ran:
    done = subprocess.run(
        command(folder, files, *options),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=environment(),
        cwd=folder,
    )
    return Ran(folder, done.stdout + done.stderr)


def test_what_measures_runs_after_all_others_in_one_worker_and_in_order(tmp_path: Path):
    files = {"test_a.py": WAITS, "test_b.py": MEASURES, "test_c.py": WAITS, "test_d.py": MEASURES}
    ran = run(tmp_path, files, "-n", "3", "-v")
    assert "12 passed" in ran.said
    assert len({worker for _, worker, *_ in ran.together}) == 2
    assert len({worker for _, worker, *_ in ran.alone}) == 1
    assert [nodeid for nodeid, *_ in ran.alone] == [
        f"test_{file}.py::test_measures[{n}]" for file in "bd" for n in range(3)
    ]
    assert max(end for *_, end in ran.together) < min(begin for *_, begin, _ in ran.alone)


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_ever_fewer_run_at_once(tmp_path: Path, workers: int):
    files = {"test_a.py": MEASURES, **dict.fromkeys(["test_b.py", "test_d.py", "test_f.py"], PAIRED)}
    files |= dict.fromkeys(["test_e.py", "test_g.py", "test_i.py", "test_k.py"], CALM)
    files |= dict.fromkeys([f"test_{name}.py" for name in "chjlm"], WAITS)
    files |= dict.fromkeys(["test_n.py", "test_o.py"], REFUSING)
    ran = run(tmp_path, files, "-n", str(workers), "-v")
    assert f"{15 * 3} passed" in ran.said
    stages = [ran.together, ran.calm, ran.pairs, ran.refusing, ran.alone]
    used = [len({worker for _, worker, *_ in tests}) for tests in stages]
    assert used == [workers, min(workers, 4), 2, 2, 1]
    everything = [entry for tests in stages for entry in tests]
    for tests, most in zip(stages, (workers, 4, 2, 2, 1), strict=True):
        for nodeid, _, begin, end in tests:
            beside = {other for _, other, start, stop in everything if start < end and stop > begin}
            assert len(beside) <= most, nodeid
    # One stage after the other, but for the last test of each worker that goes on.
    for (before, after), most in zip(pairwise(stages), (4, 2, 2, 1), strict=True):
        begun = min(begin for *_, begin, _ in after)
        late = [worker for _, worker, _, end in before if end > begun]
        assert len(late) == len(set(late)) < most
    for file in files:
        begins = [begin for nodeid, _, begin, _ in everything if nodeid.startswith(file)]
        assert begins == sorted(begins)


def test_what_is_spread_does_not_wait_for_its_file(tmp_path: Path):
    spread = WAITS.replace("@pytest", "@pytest.mark.spread\n@pytest", 1)
    for file, workers in ((spread, 2), (WAITS, 1)):
        ran = run(tmp_path, {"test_a.py": file}, "-n", "4")
        assert len({worker for _, worker, *_ in ran.together}) == workers
        (tmp_path / "ran").unlink()


def test_what_is_joined_goes_to_one_worker(tmp_path: Path):
    joined = WAITS.replace("@pytest", "@pytest.mark.joined\n@pytest", 1)
    for file, workers in ((joined, 1), (WAITS, 2)):
        ran = run(tmp_path, {"test_a.py": file, "test_b.py": file}, "-n", "4")
        assert len({worker for _, worker, *_ in ran.together}) == workers
        (tmp_path / "ran").unlink()


@pytest.mark.parametrize(
    ("file", "workers"), [(WAITS, "2"), (MEASURES, "2"), (WAITS + MEASURES, "1"), (WAITS + MEASURES, "0")]
)
def test_few_workers_and_suites_of_one_stage_end_too(tmp_path: Path, file: str, workers: str):
    count = file.count("def ") * 3
    assert f"{count} passed" in run(tmp_path, {"test_a.py": file}, "-n", workers).said


def test_after_a_failure_x_starts_no_second_stage(tmp_path: Path):
    files = {"test_a.py": "def test_fails(): assert False", "test_b.py": MEASURES}
    ran = run(tmp_path, files, "-n", "2", "-x")
    assert "stopping after 1 failures" in ran.said
    assert ran.alone == []


def test_a_crash_costs_one_test(tmp_path: Path):
    dies = "import os\ndef test_dies(): os._exit(1)\n"
    files = {"test_a.py": dies + WAITS, "test_b.py": MEASURES + dies, "test_c.py": WAITS}
    ran = run(tmp_path, files, "-n", "3")
    assert "2 failed, 9 passed" in ran.said
    assert "crashed while running 'test_b.py::test_dies'" in ran.said
    assert max(end for *_, end in ran.together) < min(begin for *_, begin, _ in ran.alone)


def test_workers_that_collect_differently_are_told(tmp_path: Path):
    random = "import os, pytest\n@pytest.mark.parametrize('pid', [os.getpid()])\ndef test_it(pid): pass\n"
    assert "Different tests were collected" in run(tmp_path, {"test_a.py": random}, "-n", "2").said


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What nohup or a script's & starts ignores interrupts, and so do its children: the test's must not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_all_workers(tmp_path: Path):
    # The interrupt comes while a test runs: one that meets a worker between tests may be lost there.
    long = "import pathlib, time\ndef test_waits(): pathlib.Path('begun').touch(); time.sleep(100)\n"
    with subprocess.Popen(
        command(tmp_path, {"test_a.py": long + "def test_next(): pass\n"}, "-n", "2"),
        env=environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        said, _ = running.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert running.returncode == 2


def test_a_few_tests_run_in_the_process_itself(tmp_path: Path):
    files = {"test_a.py": WAITS, "test_b.py": MEASURES}
    assert {worker for _, worker, *_ in run(tmp_path, files, "-n", "auto", "test_a.py").together} == {""}
    assert {worker for _, worker, *_ in run(tmp_path, files, "-n", "auto", "-k", "measures").alone} == {""}
    assert "created: " in run(tmp_path, files, "-n", "auto").said
