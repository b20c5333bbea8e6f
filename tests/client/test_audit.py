"""`smallfleet audit` against the real API, and without any: the client's chain is the server's."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from access.actors import Actor
from access.audit.chain import head
from access.audit.recording import record_audit
from client.cli import main
from tests.client.stand_in import Answer, StandIn
from tests.factories.people import make_person, token_of

ANNA = Actor("person", "anna", "anna")


def happened(count: int) -> None:
    for number in range(count):
        record_audit(
            actor=ANNA, action="rename", subject=f"Gerät {number}", before={"name": "a\u2028b"}, after={"name": None}
        )


@pytest.fixture
def copy(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An export of a chain of at least five."""
    monkeypatch.setenv("SMALLFLEET_SERVER", live_server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", token_of(make_person("admin")))
    happened(5)
    assert main(["audit", "export", str(tmp_path / "audit.jsonl")]) == 0
    return tmp_path / "audit.jsonl"


real = pytest.mark.django_db(transaction=True)


@real
def test_records_are_listed_with_what_changed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["audit", "list", "--action", "rename", "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"anna +rename +Gerät 4 +- +name: .* → -", shown)
    assert "Gerät 2" not in shown
    assert main(["audit", "list", "--subject", "Gerät 1", "--since", "2020-01-01", "--json"]) == 0
    assert [row["subject"] for row in json.loads(capsys.readouterr().out)] == ["Gerät 1"]


@real
def test_export_adds_what_is_new_and_verifies_offline(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy.read_bytes()
    happened(3)
    with copy.open("ab") as file:
        file.write(b'{"position": 9')  # an export was killed here
    capsys.readouterr()
    assert main(["audit", "export", str(copy)]) == 0
    assert "3 records added" in capsys.readouterr().out
    assert copy.read_bytes().startswith(before)
    monkeypatch.delenv("SMALLFLEET_SERVER")
    assert main(["audit", "verify", str(copy), "--head", str(head())]) == 0
    assert f"the chain holds: {head().position} records\nhead: {head()}" in capsys.readouterr().out


@real
def test_head_is_printed_as_verify_takes_it(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["audit", "head"]) == 0
    assert capsys.readouterr().out.strip() == str(head())


def _changed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines[3]["record"]["actor"] = "person:eve"
    return lines


def _without_one(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*lines[:2], *lines[3:]]


def _other_past(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines[0]["sha256"] = "0" * 64
    return lines


def _no_link(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*lines[:2], {"hello": 1}]


def _cut(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return lines[:-1]


@real
@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_changed, "position 4 was changed after it was sealed"),
        (_without_one, "position 4 follows 2: what stood between was taken out"),
        (_other_past, "position 1 was changed"),
        (_no_link, "after position 2 stands a line that is no link"),
        (_cut, "its end is missing"),
    ],
)
def test_copy_that_was_tampered_with_is_found(
    copy: Path, tamper: Callable[[Any], list[Any]], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tamper([json.loads(line) for line in copy.read_text().splitlines()])
    copy.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["audit", "verify", str(copy), "--head", str(head())]) == 1
    assert words in capsys.readouterr().err


@real
def test_script_of_the_documentation_verifies_with_the_standard_library_alone(copy: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    script = page.split("```python\n")[1].split("```")[0]
    command = [sys.executable, "-I", "-c", script, str(copy)]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.strip()) == (0, str(head())), good.stderr
    copy.write_text(copy.read_text().replace("person:anna", "person:eve", 1))
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bad.returncode == 1


def test_server_that_makes_its_chain_anew_is_not_copied(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLFLEET_SERVER", server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_x")
    link = {"position": 1, "previous_sha256": "1" * 64, "sha256": "2" * 64, "record": {}}
    server.script("GET", "/api/v1/audit/export", Answer(200, json.dumps(link).encode() + b"\n"))
    assert main(["audit", "export", str(tmp_path / "copy")]) == 1
    assert "continues another chain" in capsys.readouterr().err
    assert (tmp_path / "copy").read_text() == ""


@pytest.mark.parametrize("wrong", [["verify", "x", "--head", "7"], ["list", "--since", "yesterday"]])
def test_wrong_values_are_wrong_usage(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *wrong])
    assert ended.value.code == 2


def test_file_that_is_no_text_or_not_there_is_a_problem_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(os.urandom(64) + b"\xff\xfe")
    assert main(["audit", "verify", str(tmp_path / "copy")]) == 5
    assert main(["audit", "verify", str(tmp_path / "nowhere")]) == 5
