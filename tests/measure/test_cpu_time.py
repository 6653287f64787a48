from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.measure.cpu_time import CpuWatch, cpu_seconds

pytestmark = pytest.mark.alone


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is psutil's figure")
def test_another_processs_cpu_is_fine_grained():
    code = "import time, sys; sum(range(2_000_000)); print(time.process_time(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = float(child.stdout.readline())
        seen = cpu_seconds(child.pid)
        child.communicate()
    assert said <= seen <= said + 0.05
    assert cpu_seconds() == pytest.approx(cpu_seconds(os.getpid()), abs=0.01)


def test_a_process_that_has_ended_has_none():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(timeout=30)
    with pytest.raises(LabError, match="has ended"):
        cpu_seconds(child.pid)


async def test_the_servers_cpu_is_the_servers():
    async with Lab() as lab:
        assert lab.pids[0] == (await lab.stats())["pid"]
        watch = CpuWatch(lab.pids[0])
        sum(range(3_000_000))
        server, client, passed = watch.read()
    assert server < client <= passed * 1.1
