"""Stages in one run: what waits side by side, then ever fewer at once of the files marked as in `LATER`.

A scheduler for xdist, which has no such mode. A stage begins when the workers that it does not take have
ended, so no test ever waits for a lock, and what is measured alone shares the machine with nobody. A worker
runs a test when it knows the next one: the last test of a stage waits in each worker that goes on for that
worker's first test of the next stage, and may run beside the first of another's.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest
from xdist.report import report_collection_diff
from xdist.workermanage import WorkerController

__all__ = ["Stages"]

# Tests that a worker knows ahead: it runs one when it knows the next, and shall not wait for that.
AHEAD = 3
# Workers of the first stage for each processor: their tests also wait. With three a processor the same tests
# took 7 % more processor time than with two.
PER_CPU = 2.5
# The marks of the stages after the first, and how many workers each stage takes at most.
LATER = ("calm", "pair", "refusing", "alone")
WORKERS = (math.inf, 4, 2, 2, 1)
MARKS = (*LATER, "joined", "long", "spread")


class Stages:
    """Gives a worker file after file, of one stage after the other."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._expected = len(config.option.tx)
        self._collections: dict[WorkerController, list[str]] = {}
        self._planned = False
        self._stage_of: dict[int, int] = {}
        # For each stage one entry a file, a folder's files marked `joined`, or a test marked `spread`.
        self._stages: list[deque[deque[int]]] = [deque() for _ in WORKERS]
        self._file: dict[WorkerController, deque[int]] = {}  # what is left of the worker's file
        self._sent: dict[WorkerController, deque[int]] = {}  # at the worker; the first one runs

    @property
    def nodes(self) -> list[WorkerController]:
        return list(self._sent)

    @property
    def collection_is_completed(self) -> bool:
        return len(self._collections) >= self._expected

    @property
    def has_pending(self) -> bool:
        return bool(self._waiting() or any(self._sent.values()))

    @property
    def tests_finished(self) -> bool:
        return self._planned and not self._waiting() and all(len(sent) < 2 for sent in self._sent.values())

    def add_node(self, node: WorkerController) -> None:
        self._sent[node] = deque()
        self._file[node] = deque()

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        self._collections[node] = list(collection)

    def schedule(self) -> None:
        """Plan once, when all workers have collected; later calls bring a worker that replaces another."""
        if not self._planned:
            self._planned = True
            if self._same_collections():
                self._plan()
        self._feed_all()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        self._sent[node].remove(item_index)
        self._feed_all()

    def remove_node(self, node: WorkerController) -> str | None:
        """Forget a worker that ended; after a crash, name the test and give the others to the next."""
        sent, file = self._sent.pop(node), self._file.pop(node)
        crashed = self._collections[node][sent.popleft()] if sent else None
        for stage, files in enumerate(self._stages):
            if left := deque(index for index in (*sent, *file) if self._stage_of[index] == stage):
                files.appendleft(left)
        if crashed is None:  # else a new worker is on its way
            self._feed_all()
        return crashed

    def mark_test_pending(self, item: str) -> None:
        raise NotImplementedError

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        raise NotImplementedError

    def _plan(self) -> None:
        node, collection = next(iter(self._collections.items()))
        marked: dict[str, list[int]] = json.loads(Path(node.workerinput["marked"]).read_text())
        having = {mark: set(indices) for mark, indices in marked.items()}
        later = {index: stage for stage, mark in enumerate(LATER, 1) for index in having[mark]}
        files: dict[tuple[int, str], deque[int]] = {}
        for index, nodeid in enumerate(collection):
            stage = self._stage_of[index] = later.get(index, 0)
            file = nodeid if index in having["spread"] else nodeid.partition("::")[0]
            file = file.rpartition("/")[0] if index in having["joined"] else file
            files.setdefault((stage, file), deque()).append(index)
        for (stage, _), tests in files.items():
            self._stages[stage].append(tests)
        # What takes long begins first, or all would wait for it at the end.
        for stage, waiting in enumerate(self._stages):
            by_length = sorted(waiting, key=lambda file: (file[0] in having["long"], len(file)), reverse=True)
            self._stages[stage] = deque(by_length)

    def _feed_all(self) -> None:
        for node in self.nodes:
            self._feed(node)

    def _feed(self, node: WorkerController) -> None:
        if not self._planned or node.shutting_down or node not in self._collections:
            return
        sent = self._sent[node]
        while len(sent) < AHEAD:
            index = self._next(node)
            if index is None:
                break
            sent.append(index)
            node.send_runtest_some([index])
        takes_part = any(files and self._takes(stage, node) for stage, files in enumerate(self._stages))
        if not (self._file[node] or takes_part):
            node.shutdown()

    def _next(self, node: WorkerController) -> int | None:
        if file := self._file[node]:
            return file.popleft()
        for stage, files in enumerate(self._stages):
            if not files:
                continue
            if not self._takes(stage, node) or not self._begins(stage, node) or len(self._sent[node]) > 1:
                return None  # with more than one test ahead, another worker may begin the file earlier
            self._file[node] = files.popleft()
            return self._file[node].popleft()
        return None

    def _begins(self, stage: int, node: WorkerController) -> bool:
        """Whether the others have at most a last test of earlier stages, and are as few as this one takes."""
        others = [*self._sent.keys() - {node}]
        return len(others) < WORKERS[stage] and all(
            sum(self._stage_of[index] < stage for index in (*self._sent[other], *self._file[other])) < 2
            for other in others
        )

    def _takes(self, stage: int, node: WorkerController) -> bool:
        """Whether a stage is for this worker: the newest ones take part in the later stages."""
        return stage == 0 or node in self.nodes[-int(WORKERS[stage]) :]

    def _waiting(self) -> bool:
        return any(self._stages) or any(self._file.values())

    def _same_collections(self) -> bool:
        (first, expected), *others = self._collections.items()
        for node, collection in others:
            difference = report_collection_diff(expected, collection, first.gateway.id, node.gateway.id)
            if difference:
                report = pytest.CollectReport(node.gateway.id, "failed", difference, [])
                self._config.hook.pytest_collectreport(report=report)
                return False
        return True


def pytest_xdist_make_scheduler(config: pytest.Config) -> Stages | None:
    return Stages(config) if config.option.dist == "load" else None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many workers ``-n auto`` starts: none where a person looks for a few tests."""
    chosen = config.option
    few = chosen.keyword or chosen.markexpr == "quick" or getattr(chosen, "lf", False) or chosen.collectonly
    asked = {(config.invocation_params.dir / name).resolve() for name in config.args}
    if few or not asked & {config.rootpath, config.rootpath / "tests"}:
        return 0
    return int(PER_CPU * min(os.cpu_count() or 1, 4))


class Marks:
    """Carries from a worker, which knows them, to the scheduler which tests have which of `MARKS`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rtlab-marks-")

    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput["marked"] = os.path.join(self._folder.name, node.gateway.id)

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()


def pytest_configure(config: pytest.Config) -> None:
    if config.option.dist != "no":
        config.pluginmanager.register(Marks())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if (told := getattr(session.config, "workerinput", {})) and "marked" in told:
        marked = {
            mark: [index for index, item in enumerate(session.items) if item.get_closest_marker(mark)]
            for mark in MARKS
        }
        Path(told["marked"]).write_text(json.dumps(marked))
