from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from websockets.asyncio.server import ServerConnection, serve

import rtlab
from rtlab.cli import doctor_command
from rtlab.cli import main as cli
from rtlab.errors import LabError
from rtlab.notebook.environment_check import EnvironmentCheck


def status(checks: list[EnvironmentCheck]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


async def test_this_machine_is_well():
    checks = await doctor_command.examine()
    assert [check for check in checks if check.status == "broken"] == []
    found = {check.name: check.found for check in checks}
    assert found["lab"].startswith("started in ")
    assert found["loopback round trip"].endswith(" µs")
    assert found["comms over subshells"].endswith("(rtlab works with either)")
    assert {"chromium", "nginx", "haproxy"} <= found.keys()


def test_the_command_prints_a_table_that_80_columns_hold(capfd: pytest.CaptureFixture[str]):
    assert cli.run(["doctor"]) == 0
    out, _ = capfd.readouterr()
    assert "loopback round trip   median " in out
    assert max(map(len, out.splitlines())) <= 80


def test_nothing_is_offered_that_does_not_exist(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_command, "find_program", lambda _: None)
    source = Path(rtlab.__file__).parent
    code = "\n".join(
        path.read_text("utf-8") for path in source.rglob("*.py") if path.name != "doctor_command.py"
    )
    assert all(f'"{check.name}"' in code for check in doctor_command._optional())


def test_what_is_optional_is_not_broken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_command, "find_program", lambda _: None)
    checks = doctor_command._optional()
    assert set(status(checks).values()) == {"note"}
    assert all("apt install" in check.advice for check in checks)
    assert not doctor_command.broken(checks)


async def test_a_lab_that_cannot_start_is_broken_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    async def fails(_: Any) -> None:
        raise LabError("the server ended with exit code 1")

    monkeypatch.setattr("rtlab.lab.lab.Lab.__aenter__", fails)
    checks = await doctor_command.examine()
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
        monkeypatch.setattr(doctor_command, "_PATIENCE", 0.05)
        checks = await doctor_command.examine()
    (lab,) = (check for check in checks if check.name == "lab")
    assert (lab.status, lab.found) == ("broken", "TimeoutError")


def test_a_kernel_of_another_environment_is_broken(monkeypatch: pytest.MonkeyPatch):
    class Spec:
        argv = ("/other/env/bin/python", "-m", "ipykernel_launcher")

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: Spec)
    check = doctor_command._kernelspec()
    assert check.status == "broken"
    assert "/other/env/bin/python" in check.found
    Spec.argv = ("python", "-m", "ipykernel_launcher")
    assert doctor_command._kernelspec().status == "ok"


def test_a_jupyter_of_another_environment_is_noted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/usr/bin/jupyter")
    check = doctor_command._jupyter_command()
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
    assert doctor_command._subshells().found.startswith(said)
