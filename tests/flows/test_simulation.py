"""`smallfleet simulate` against a real server: fifty devices, the server's books, and the same again by the same seed."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.cli import main
from client.processes import free_port
from client.publishing import Publication, publish
from client.simulate.summary import as_text, is_sound
from client.stack import Stack
from tests.agent.models import Release, release

Simulate = Callable[..., dict[str, Any]]
MODEL = "words"


@pytest.fixture(scope="module")
def stack(prepared: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running server and worker with two small versions of one model line."""
    home = tmp_path_factory.mktemp("simulated") / "stack"
    shutil.copytree(prepared.home, home)
    running = Stack(home, port=free_port())
    running.admin = prepared.admin
    with running:
        for version, made in {"1.0.0": release(1), "1.1.0": release(1, step=0.01)}.items():
            _publish(running, home / version, version, made)
        yield running


def _publish(stack: Stack, folder: Path, version: str, made: Release) -> None:
    folder.mkdir()
    stack.trust(MODEL)
    parts = {"model.onnx": made.model, "contract.json": made.contract, "samples.npz": made.samples}
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    model, contract, samples = (folder / name for name in parts)
    with stack.rest() as rest:
        publish(rest, Publication(model, MODEL, version, "fp32", contract, samples), stack.signing(rest, MODEL))


@pytest.fixture
def simulate(stack: Stack, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Simulate:
    """Run the command on that server; its document."""

    def run(*options: str, code: int = 0) -> dict[str, Any]:
        (tmp_path / "token").write_text(stack.token)
        server = ("--server", stack.url, "--token-file", str(tmp_path / "token"), "--model", MODEL)
        capsys.readouterr()
        assert main(["simulate", *server, "--from", "1.0.0/fp32", "--to", "1.1.0/fp32", *options, "--json"]) == code
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return run


TROUBLED = (
    "--devices", "50", "--links", "wifi=0.4,lte-m=0.4,satellite=0.2", "--loss", "0.2", "--offline", "0.2",
    "--failures", "0.04", "--unhealthy", "0.02", "--bad-patches", "0.06",
)  # fmt: skip


def test_books_of_the_server_say_what_fifty_troubled_devices_did(simulate: Simulate) -> None:
    document = simulate(*TROUBLED, "--seed", "3")
    fleet, checks = document["fleet"], document["checks"]
    assert {name: check for name, check in checks.items() if not check["equal"]} == {}
    assert checks["ledger bytes"]["server"] > 50 * 1_000
    assert checks["reports"]["server"] == 47
    assert checks["events"]["server"] == sum(fleet["events"].values()) > 250
    assert (fleet["up_to_date"], fleet["failed"], fleet["rolled_back"], fleet["waiting"]) == (47, 2, 1, 0)
    assert fleet["fallbacks"] >= 3
    assert fleet["resumes"] > 0
    assert set(fleet["cuts"]) == {"out of reach", "no connection", "answer lost", "cut short"}
    assert 0 < fleet["updated_after_s"]["50%"] < fleet["updated_after_s"]["90%"] < fleet["virtual_s"]
    assert fleet["updated_after_s"]["99%"] is None
    assert {row["way"] for row in fleet["ledger"]["by_link_and_way"]} >= {"raw", "sample-set"}
    assert is_sound(document)
    checks["events"] |= {"server": 7, "equal": False}
    assert not is_sound(document)
    assert "books DIFFER" in as_text(document)


def test_same_seed_gives_the_same_fleet_and_another_seed_another(simulate: Simulate) -> None:
    options = (*TROUBLED, "--devices", "20", "--connections", "4")
    first, again, other = (simulate(*options, "--seed", seed) for seed in ("8", "8", "9"))
    assert again["fleet"] == first["fleet"]
    assert other["fleet"] != first["fleet"]


def test_perfect_fleet_costs_what_was_forecast(simulate: Simulate) -> None:
    document = simulate("--devices", "20", "--links", "ethernet", "--no-reports")
    ledger = document["fleet"]["ledger"]
    assert ledger["bytes"] == pytest.approx(ledger["forecast_bytes"], rel=0.1)
    assert document["fleet"]["updated_after_s"]["99%"] < 120
    assert document["fleet"]["attempts"] == 20


def test_reports_are_taken_and_never_valid(simulate: Simulate, stack: Stack) -> None:
    document = simulate("--devices", "3")
    assert document["checks"]["reports"] == {"simulated": 3, "server": 3, "equal": True}
    with stack.rest() as rest:
        report = rest.get("reports", model=MODEL, limit=1)["results"][0]
    assert report["validity"] == "invalid"
    assert report["report"]["validity"]["flags"][-1]["id"] == "simulated"


def test_time_that_ends_early_leaves_devices_waiting_and_the_books_equal(simulate: Simulate) -> None:
    options = ("--devices", "20", "--links", "wifi", "--no-reports", "--poll-interval", "600", "--duration", "200")
    document = simulate(*options)
    fleet = document["fleet"]
    assert 0 < fleet["waiting"] < 20
    assert fleet["virtual_s"] <= 200


def test_fleet_that_keeps_polling_is_answered_with_304(simulate: Simulate) -> None:
    document = simulate(
        "--devices", "5", "--links", "ethernet", "--no-reports", "--poll-interval", "60", "--keep-polling",
        "--duration", "1200", "--speed", "1000",
    )  # fmt: skip
    fleet = document["fleet"]
    assert fleet["answers"]["GET poll 304"] > 5 * 15
    assert 1000 < fleet["virtual_s"] <= 1200
    assert document["simulator"]["wall_s"] >= fleet["virtual_s"] / 1000 - 0.1


def test_server_of_its_own_is_started_and_a_fleet_that_is_there_costs_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing has to be fetched, so no patch has to be built: that takes its time."""
    there = ("--from", "1.1.0/int8", "--to", "1.1.0/int8")
    assert main(["simulate", "--devices", "3", *there, "--no-reports"]) == 0
    printed = capsys.readouterr()
    assert "3 devices: 3 up to date, 0 failed, 0 rolled back, 0 waiting" in printed.out
    assert "ledger: 0 bytes" in printed.out
    assert "the server's books say what the devices did" in printed.out
    assert "starting a server in" in printed.err
