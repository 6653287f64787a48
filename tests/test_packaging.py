"""What an installed rtlab must find without a clone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run(
        command, cwd=ROOT / "tests", env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


def published(folder: str) -> list[str]:
    names = [found.relative_to(ROOT / folder) for found in (ROOT / folder).rglob("*") if found.is_file()]
    return [name.as_posix() for name in names if not any(part.startswith((".", "__")) for part in name.parts)]


def test_data_notebooks_and_scripts_travel_in_the_wheel(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"rtlab/_data/{name}" for name in published("data")} <= names
    assert {f"rtlab/_notebooks/{name}" for name in published("notebooks")} <= names
    front = {
        str(found.relative_to(ROOT))
        for kind in ("js", "css", "json")
        for found in ROOT.glob(f"rtlab/**/*.{kind}")
    }
    assert front
    assert front <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "data/"))]


def test_an_installed_rtlab_finds_its_own_files(installed: Path, tmp_path: Path):
    code = (
        "import rtlab, pathlib\n"
        "from rtlab import resources\n"
        "from rtlab.notebook.readers_copy import hand_out\n"
        "print(pathlib.Path(rtlab.__file__).parent, rtlab.data_path('README.md'), resources.checkout())\n"
        f"print(len(hand_out(pathlib.Path({str(tmp_path)!r})).new))"
    )
    package = installed / "rtlab"
    said, copied = run(sys.executable, "-c", code, PYTHONPATH=str(installed)).splitlines()
    assert said == f"{package} {package / '_data' / 'README.md'} None"
    assert int(copied) == len(published("notebooks"))
    assert sorted(found.name for found in tmp_path.glob("*.ipynb")) == sorted(published("notebooks"))


def test_an_installed_lab_starts(installed: Path):
    code = (
        "import asyncio, pathlib, rtlab\n"
        "async def main():\n"
        "    async with rtlab.Lab(faults=True) as lab:\n"
        "        print(pathlib.Path(rtlab.__file__).parent, lab)\n"
        "asyncio.run(main())"
    )
    said = run(sys.executable, "-c", code, PYTHONPATH=str(installed))
    assert said == f"{installed / 'rtlab'} <Lab: 1 server and fault proxy, running>\n"


def test_outside_a_clone_there_is_nothing_to_edit(installed: Path):
    code = (
        "import sys; from rtlab.cli.main import run\n"
        "sys.exit(0 if run(['lab', '--no-browser', '--edit']) == 1 else 'ran')"
    )
    run(sys.executable, "-c", code, PYTHONPATH=str(installed))


def test_an_editable_install_copies_nothing(tmp_path: Path):
    code = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60, capture_output=True, text=True
    )
    names = zipfile.ZipFile(tmp_path / made.stdout.split()[-1]).namelist()
    assert not [name for name in names if not name.startswith(("rtlab-", "_rtlab.pth"))]


def test_no_http_request_searches_for_a_module_that_is_missing():
    code = (
        "import asyncio, sys, httpx, rtlab\n"
        "sought = []\n"
        "class Last:\n"
        "    def find_spec(self, name, *_):\n"
        "        sought.append(name)\n"
        "async def main():\n"
        "    async with rtlab.Lab() as lab, httpx.AsyncClient() as client:\n"
        "        await client.get(lab.url + '/healthz')\n"
        "        sys.meta_path.append(Last())\n"
        "        print((await client.get(lab.url + '/healthz')).status_code, sought)\n"
        "asyncio.run(main())"
    )
    assert run(sys.executable, "-c", code, PYTHONPATH=str(ROOT)) == "200 []\n"
