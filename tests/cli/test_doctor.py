from __future__ import annotations

import asyncio
import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jupyter_core.paths
import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from websockets.asyncio.server import ServerConnection, serve

from rtlab.cli import doctor
from rtlab.cli import main as cli
from rtlab.errors import LabError


def status(checks: list[doctor.Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


async def test_this_machine_is_well():
    checks = await doctor.examine()
    assert [check for check in checks if check.status == "broken"] == []
    found = {check.name: check.found for check in checks}
    assert found["lab"].startswith("started in ")
    assert found["loopback round trip"].endswith(" µs")
    assert found["comms over subshells"].endswith("(rtlab works with either)")
    assert {"chromium", "redis-server", "rabbitmq-server", "nginx", "haproxy", "nats-server"} <= found.keys()


def test_the_command_prints_a_table(capfd: pytest.CaptureFixture[str]):
    assert cli.run(["doctor"]) == 0
    assert "loopback round trip" in capfd.readouterr().out


def test_what_is_optional_is_not_broken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "find_program", lambda _: None)
    checks = doctor._optional()
    assert set(status(checks).values()) == {"note"}
    assert all("apt install" in check.advice for check in checks)
    assert not doctor.broken(checks)


async def test_a_lab_that_cannot_start_is_broken_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    async def fails(_: Any) -> None:
        raise LabError("the server ended with exit code 1")

    monkeypatch.setattr("rtlab.lab.lab.Lab.__aenter__", fails)
    checks = await doctor.examine()
    (lab,) = (check for check in checks if check.name == "lab")
    assert lab.status == "broken"
    assert "exit code 1" in lab.found
    assert lab.advice
    assert await asyncio.to_thread(cli.run, ["doctor"]) == 1
    assert "broken" in capfd.readouterr().out


async def test_a_server_that_says_nothing_does_not_hang_it(monkeypatch: pytest.MonkeyPatch):
    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(silent, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        monkeypatch.setattr("rtlab.lab.lab.Lab.ws_url", f"ws://127.0.0.1:{port}/ws")
        monkeypatch.setattr(doctor, "_PATIENCE", 0.05)
        checks = await doctor.examine()
    (lab,) = (check for check in checks if check.name == "lab")
    assert (lab.status, lab.found) == ("broken", "TimeoutError")


def test_an_old_or_missing_package_is_broken(monkeypatch: pytest.MonkeyPatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "anywidget":
            return "0.9.0"
        if name == "msgspec":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    (check,) = doctor._packages()
    assert check.status == "broken"
    assert "anywidget 0.9.0, expected >=0.9.20" in check.found
    assert "msgspec is missing" in check.found
    assert "pip install" in check.advice


def test_a_missing_front_end_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(jupyter_core.paths, "jupyter_path", lambda *_: [str(tmp_path)])
    checks = doctor._front_end()
    assert [check.status for check in checks] == ["broken", "broken"]
    assert "jupyterlab_widgets" in checks[0].advice
    manager = tmp_path / "@jupyter-widgets" / "jupyterlab-manager"
    manager.mkdir(parents=True)
    (manager / "package.json").write_text(json.dumps({"version": "5.0.0"}))
    assert doctor._front_end()[0] == ("front end @jupyter-widgets/jupyterlab-manager", "ok", "5.0.0", "")


def test_a_kernel_of_another_environment_is_broken(monkeypatch: pytest.MonkeyPatch):
    class Spec:
        argv = ("/other/env/bin/python", "-m", "ipykernel_launcher")

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: Spec)
    check = doctor._kernelspec()
    assert check.status == "broken"
    assert "/other/env/bin/python" in check.found
    Spec.argv = ("python", "-m", "ipykernel_launcher")
    assert doctor._kernelspec().status == "ok"


def test_a_jupyter_of_another_environment_is_noted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/usr/bin/jupyter")
    check = doctor._jupyter_command()
    assert check.status == "note"
    assert "rtlab lab" in check.advice


@pytest.mark.parametrize(
    ("value", "said"), [("disabled", "disabled"), (None, "perCommTarget"), ("perComm", "perComm ")]
)
def test_the_subshell_setting_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None, said: str
):
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path))
    if value is not None:
        file = tmp_path / "@jupyterlab" / "apputils-extension" / "kernels-settings.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(f'// mine\n{{"commsOverSubshells": "{value}"}}')
    assert doctor._subshells().found.startswith(said)


def test_a_check_that_cannot_run_is_a_fault_and_no_traceback():
    def fails() -> doctor.Check:
        raise OSError("no such file")

    (check,) = doctor._attempt("kernel", fails)
    assert check == ("kernel", "broken", "OSError: no such file", doctor._REINSTALL)


class Parent:
    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def cmdline(self) -> list[str]:
        return self.words

    def environ(self) -> dict[str, str]:
        return {"PATH": "/usr/bin"}


@pytest.mark.parametrize(
    ("words", "well"),
    [
        ([sys.executable, "/x/bin/jupyter-lab"], True),
        (["/opt/other/bin/python3", "/opt/other/bin/jupyter-lab"], False),
        (["/usr/share/code/node", "server.js"], True),
    ],
)
def test_a_notebook_learns_whether_its_jupyterlab_is_the_right_one(
    monkeypatch: pytest.MonkeyPatch, words: list[str], well: bool
):
    monkeypatch.setattr(psutil.Process, "parent", lambda _: Parent(*words))
    report = doctor.notebook_report()
    if well:
        assert report == "Packages, widgets, and the JupyterLab beside this kernel: all well."
    else:
        assert "JupyterLab runs in /opt/other" in report
        assert f"{Path(sys.prefix) / 'bin' / 'rtlab'} lab" in report


def test_the_report_of_a_kernel_is_the_same_sentence():
    code = "from rtlab.cli.doctor import notebook_report; print(notebook_report())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "Packages, widgets, and the JupyterLab beside this kernel: all well.\n"
