"""``--save``: what cannot be written is said before the measurement, and what was measured is printed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from rtlab.cli import compare_command, print_and_save, reverse_proxy_matrix_command
from rtlab.cli import main as cli
from rtlab.errors import RtlabError


def test_a_file_that_can_be_written_stays_as_it_is(tmp_path: Path) -> None:
    known, new = tmp_path / "known.json", tmp_path / "new.json"
    known.write_text("{}")
    for path in (known, new, None):
        print_and_save.check_writable(path)
    assert known.read_text() == "{}"
    assert not new.exists()


def test_a_link_to_a_file_that_is_not_there_yet_is_kept(tmp_path: Path) -> None:
    link, target = tmp_path / "link.json", tmp_path / "run.json"
    link.symlink_to(target)
    print_and_save.check_writable(link)
    assert link.is_symlink()
    assert not target.exists()


def test_a_file_that_cannot_be_written_is_said_with_the_next_step(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "run.json"):
        said = f"cannot write {path}: .*: name another file with --save"
        with pytest.raises(RtlabError, match=said):
            print_and_save.check_writable(path)
        with pytest.raises(RtlabError, match=said):
            print_and_save.save_run(path, "rtlab compare", {}, {})


async def _unwanted(*_: Any, **__: Any) -> None:
    pytest.fail("it was measured, though the result cannot be saved")


@pytest.mark.parametrize("command", ["compare", "proxies"])
def test_it_is_found_before_the_measurement(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare_command, "_compare", _unwanted)
    monkeypatch.setattr(reverse_proxy_matrix_command, "_proxies", _unwanted)
    assert cli.run([command, "--save", str(tmp_path / "nowhere" / "run.json")]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("rtlab: cannot write ")


@pytest.mark.parametrize("command", ["compare", "proxies"])
def test_a_result_is_printed_even_if_it_can_no_longer_be_saved(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"

    async def compared(*_: Any, **__: Any) -> Any:
        path.mkdir()  # in the way of the file
        return SimpleNamespace(to_dict=lambda: {"measured": 1})

    async def probed(*_: Any, **__: Any) -> Any:
        path.mkdir()
        return pd.DataFrame({"measured": [1]})

    monkeypatch.setattr(compare_command, "_compare", compared)
    monkeypatch.setattr(reverse_proxy_matrix_command, "_proxies", probed)
    assert cli.run([command, "--json", "--save", str(path)]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out) == ({"measured": 1} if command == "compare" else [{"measured": 1}])
    assert err.startswith(f"rtlab: cannot write {path}: ")
