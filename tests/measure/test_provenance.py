from __future__ import annotations

import json
from pathlib import Path

from rtlab.measure.provenance import program_version, provenance, write_json


def test_it_says_how_to_make_the_run_again():
    about = provenance("rtlab x", {"python3": "--version", "no-such-program": "-v"})
    assert about["command"] == "rtlab x"
    assert about["versions"]["python3"].startswith("3.")
    assert "no-such-program" not in about["versions"]
    assert about["machine"]["cores"] >= 1
    assert len(about["load"]) == 3


def test_the_file_says_first_what_it_is(tmp_path: Path):
    path = tmp_path / "run.json"
    write_json(path, {"command": "x"}, {"rows": [1]})
    assert list(json.loads(path.read_text())) == ["about", "rows"]
    assert path.read_text().endswith("}\n")


def test_a_program_without_a_version_has_none():
    assert program_version("true", "-v") is None
