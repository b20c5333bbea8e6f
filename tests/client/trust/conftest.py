"""A real server on a real socket, an admin's token, and a trust folder of the test's own."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureResult
from pytest_django.live_server_helper import LiveServer

from access.models import Role
from client.cli import main
from client.rest import RestClient
from client.trust.folder import LineFolder
from client.trust.line import LineTrust
from tests.factories.people import make_person, token_of


@pytest.fixture
def token(live_server: LiveServer) -> str:
    """An admin's API token."""
    return token_of(make_person(Role.ADMIN))


@pytest.fixture
def trust_dir(live_server: LiveServer, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The trust folder; the environment names it, the server and a token."""
    folder = tmp_path / "trust"
    monkeypatch.setenv("SMALLFLEET_SERVER", live_server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", token)
    monkeypatch.setenv("SMALLFLEET_TRUST_DIR", str(folder))
    return folder


@pytest.fixture
def real(live_server: LiveServer, token: str) -> Iterator[RestClient]:
    """The REST API of the real server; `rest` is the stand-in's."""
    with RestClient(live_server.url, token=token) as client:
        yield client


@pytest.fixture
def line(real: RestClient, trust_dir: Path) -> LineTrust:
    """The line `digits` with trust, as `smallfleet trust init` leaves it."""
    assert main(["trust", "init", "digits", "--create-model"]) == 0
    return LineTrust(real, LineFolder.of(trust_dir, "digits"), sleep=lambda _seconds: None)


@pytest.fixture
def said(trust_dir: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that has to end with a code, and returns what it printed on both streams."""

    def run(*arguments: str, code: int = 0) -> str:
        captured = _ran(capsys, arguments, code)
        return captured.out + captured.err

    return run


@pytest.fixture
def printed(trust_dir: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What a command prints with `--json`."""

    def run(*arguments: str, code: int = 0) -> Any:
        return json.loads(_ran(capsys, (*arguments, "--json"), code).out)

    return run


def _ran(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], code: int) -> "CaptureResult[str]":
    capsys.readouterr()
    ended = main(list(arguments))
    captured = capsys.readouterr()
    assert ended == code, captured
    return captured
