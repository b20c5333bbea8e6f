"""The commands that read and operate, against the real API on a real socket with a fleet in its database."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from access.models import Role
from client.cli import main
from fleet.devices.models import Device, Installation
from registry.models import ModelLine, Patch
from tests.factories.people import make_person, token_of
from tests.factories.registry import make_version
from tests.factories.scenario import Scenario, make_scenario

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fleet(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """Three devices in the middle of a rollout, and an admin's token in the environment."""
    monkeypatch.setenv("SMALLFLEET_SERVER", live_server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", token_of(make_person(Role.ADMIN)))
    return make_scenario(3)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command prints with `--json`."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints for people."""
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_models_are_listed_and_shown(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    assert [model["name"] for model in printed(capsys, "models", "list")] == ["digits"]
    assert "digits  The digits classifier  1.1.0" in shown(capsys, "models", "list")
    text = shown(capsys, "models", "show", "digits")
    assert "accuracy=0.9833 (n=360)" in text
    assert printed(capsys, "models", "show", "digits")["versions"][0]["version"] == "1.1.0"


def test_costs_stand_beside_accuracy(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    costs = printed(capsys, "costs", "digits")
    assert {row["variant"] for row in costs["variants"]} == {"fp32", "fp16", "int8", "pruned"}
    assert all(row["evaluations"] for row in costs["variants"])
    text = shown(capsys, "costs", "digits", "--group", "berlin")
    assert "accuracy=0.9833" in text
    assert "EUR" in text.splitlines()[0]


def test_matrix_of_patches_is_shown_with_what_is_missing_and_why(
    fleet: Scenario, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    plan = printed(capsys, "deltas", "show", "digits")
    assert {pair["status"] for pair in plan["pairs"]} == {"built", "planned", "not-worth-it"}
    lines = shown(capsys, "deltas", "show", "digits").splitlines()
    assert lines[0].split("  ")[0] == "from \\ to"
    from_old = next(line for line in lines if line.startswith("1.0.0 fp32"))
    assert "512,300 56.7% max" in from_old
    assert "=" in from_old
    packed = next(line for line in lines if line.startswith("nothing (packed)"))
    assert "776,677 86.0% max" in packed
    assert any("by the prior" in line or "alike" in line for line in lines)


def test_line_without_versions_has_no_matrix(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    ModelLine.objects.create(name="empty")
    assert shown(capsys, "deltas", "show", "empty").startswith("nothing is to be built for empty")
    assert shown(capsys, "deltas", "build", "empty") == "0 planned, about 0 bytes and 0 s\n"


def test_matrix_is_cut_into_tables_that_fit_the_terminal(
    fleet: Scenario, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tables = shown(capsys, "deltas", "show", "digits").split("\n\n")[:-1]
    assert len(tables) > 1
    assert max(len(line) for table in tables for line in table.splitlines()) <= 80
    for name in fleet.variants:
        assert sum(name in table.splitlines()[0] for table in tables) == 1


def test_patches_are_built_within_the_budget_that_is_given(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    assert "left are 0 B and 0 s" in shown(capsys, "deltas", "show", "digits", "--budget-mb", "0", "--budget-s", "0")
    before = Patch.objects.count()
    nothing = printed(capsys, "deltas", "build", "digits", "--budget-mb", "0")
    assert nothing["left"]["storage_bytes"] == 0
    assert Patch.objects.count() == before
    assert " planned, about " in shown(capsys, "deltas", "build", "digits", "--budget-mb", "50", "--budget-s", "600")
    assert Patch.objects.count() > before


def test_devices_are_listed_and_shown(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed(capsys, "devices", "list")) == 3
    assert "gate-00001" in shown(capsys, "devices", "list")
    device = str(fleet.devices[0].pk)
    assert printed(capsys, "devices", "show", device)["installations"][0]["model"] == "digits"
    assert "digits/1.1.0 fp32" in shown(capsys, "devices", "show", device)


def test_device_is_shown_by_a_name_that_it_alone_has(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, _ = fleet.devices
    assert printed(capsys, "devices", "show", first.name)["id"] == str(first.pk)
    Device.objects.filter(pk=second.pk).update(name=first.name)
    assert main(["devices", "show", first.name]) == 2
    said = capsys.readouterr().err
    assert str(first.pk) in said
    assert str(second.pk) in said
    assert main(["devices", "show", "gate"]) == 2
    assert "no device 'gate'" in capsys.readouterr().err


def test_pending_devices_are_listed_approved_and_rejected(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    wanted, unwanted, settled = fleet.devices
    Device.objects.filter(pk__in=[wanted.pk, unwanted.pk]).update(pending_until=timezone.now() + timedelta(days=1))
    assert {row["id"] for row in printed(capsys, "devices", "list", "--pending")} == {str(wanted.pk), str(unwanted.pk)}
    assert (
        shown(capsys, "devices", "approve", wanted.name, settled.name)
        == "approved: 1 of 2; the others did not wait for approval\n"
    )
    assert shown(capsys, "devices", "reject", str(unwanted.pk)) == "rejected: 1 of 1\n"
    wanted.refresh_from_db()
    assert wanted.pending_until is None
    assert not Device.objects.filter(pk=unwanted.pk).exists()


def test_device_is_asked_for_a_new_credential_and_revoked(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    device = fleet.devices[0]
    assert (
        shown(capsys, "devices", "rotate", device.name) == f"asked for a new credential: {device.name} ({device.pk})\n"
    )
    device.refresh_from_db()
    assert device.rotation_asked_at is not None
    assert shown(capsys, "devices", "revoke", device.name) == f"revoked: {device.name} ({device.pk})\n"
    device.refresh_from_db()
    assert device.revoked_at is not None


def test_taken_link_class_says_how_to_change_it(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link-classes", "create", "lte", "--price-per-mb", "99"]) == 3
    assert "smallfleet link-classes change lte" in capsys.readouterr().err


def test_rollouts_are_listed_shown_and_paused(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.running
    running = str(fleet.running.pk)
    assert len(printed(capsys, "rollouts", "list")) == 3
    assert running in shown(capsys, "rollouts", "list")
    assert printed(capsys, "rollouts", "show", running)["ledger"]["agent_bytes"] > 0
    assert "EUR" in shown(capsys, "rollouts", "show", running)
    assert shown(capsys, "rollouts", "pause", running) == f"paused: {running}\n"
    assert printed(capsys, "rollouts", "resume", running)["state"] == "running"


def test_second_start_is_refused_with_the_servers_words(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.running
    assert main(["rollouts", "start", str(fleet.running.pk)]) == 3
    assert "urn:smallfleet:problem:rollout-state" in capsys.readouterr().err


def test_tokens_are_made_listed_and_revoked(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    created = printed(capsys, "tokens", "create", "ci", "--scope", "publish", "--expires-in-d", "7")
    assert created["token"].startswith("sft_")
    assert created["scopes"] == ["publish"]
    assert shown(capsys, "tokens", "revoke", created["id"]) == f"revoked: {created['id']}\n"
    assert "publish" in shown(capsys, "tokens", "list")
    assert next(row for row in printed(capsys, "tokens", "list") if row["id"] == created["id"])["revoked_at"]


def test_enrollment_token_is_made(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    created = printed(capsys, "enroll-token", "--name", "gates", "--link-class", "lte", "--attribute", "site=berlin")
    assert created["token"].startswith("sfe_")
    assert created["attributes"] == {"site": "berlin"}
    assert created["expires_at"]


def test_wrong_token_is_refused(
    fleet: Scenario, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_wrong")
    assert main(["models", "list"]) == 3
    assert "urn:smallfleet:problem:unauthenticated" in capsys.readouterr().err


def test_groups_are_made_listed_and_deleted(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    made = printed(capsys, "groups", "create", "harbour", "site=hamburg,!camera")
    assert made == printed(capsys, "groups", "create", "harbour", "site=hamburg,!camera")
    assert "site=hamburg,!camera" in shown(capsys, "groups", "list")
    assert main(["groups", "create", "harbour", "site=="]) == 3
    capsys.readouterr()
    assert shown(capsys, "groups", "delete", "harbour") == "deleted: harbour\n"
    assert "harbour" not in {group["name"] for group in printed(capsys, "groups", "list")}


def test_link_classes_are_made_and_changed(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    made = printed(capsys, "link-classes", "create", "nb-iot", "--price-per-mb", "1.25", "--metered")
    assert (float(made["price_per_mb"]), made["metered"]) == (1.25, True)
    changed = printed(capsys, "link-classes", "change", "nb-iot", "--price-per-mb", "0.75", "--no-metered")
    assert (float(changed["price_per_mb"]), changed["metered"]) == (0.75, False)
    assert "nb-iot" in shown(capsys, "link-classes", "list")


def test_device_is_revoked(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    device = fleet.devices[0]
    assert f"revoked: {device.name}" in shown(capsys, "devices", "revoke", device.name)
    device.refresh_from_db()
    assert device.revoked_at


BUDGET = """
configuration = "canonical"
[limits.fps]
at_least = 15
wanted = 900
[limits.quality]
metric = "top5-error"
at_most = 0.2
"""


def test_budget_is_set_from_a_file_shown_and_checked(
    fleet: Scenario, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "param_and_activation_bytes" in shown(capsys, "budget", "show", "digits")
    assert "has no limits" in shown(capsys, "budget", "set", "digits", "--none")
    file = tmp_path / "budget.toml"
    file.write_text(BUDGET)
    assert "top5-error" in shown(capsys, "budget", "set", "digits", "--file", str(file))
    assert printed(capsys, "budget", "show", "digits")["limits"]["fps"]["wanted"] == 900
    text = shown(capsys, "budget", "check", "digits", "1.1.0")
    assert "no evaluation of top5-error" in text
    assert ">= 15" in text


def test_check_without_limits_or_variants_says_so(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    make_version(ModelLine.objects.get(name="digits"), "3.0.0")
    assert shown(capsys, "budget", "check", "digits", "3.0.0").startswith("nothing to check: ")
    shown(capsys, "budget", "set", "digits", "--none")
    assert shown(capsys, "budget", "check", "digits", "1.1.0").startswith("nothing to check: digits has no limits")


def test_broken_budget_ends_the_check_with_one(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--limit", "file_size_bytes=300000", "--limit", "quality,at_least=0.9,metric=accuracy"]
    shown(capsys, "budget", "set", "digits", *limits)
    assert main(["budget", "check", "digits", "1.1.0", "--json"]) == 1
    checked = json.loads(capsys.readouterr().out)
    verdicts = {variant["variant"]: variant["verdict"] for variant in checked["variants"]}
    assert verdicts == {"fp32": "fail", "fp16": "fail", "int8": "pass", "pruned": "fail"}
    assert printed(capsys, "budget", "set", "digits", "--none")["limits"] == {}
    assert main(["budget", "check", "digits", "1.1.0"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--limit", "fps=fast"], 2),
        (["--limit", "fps=15,hoped=30"], 2),
        (["--limit", "horsepower=1"], 3),
        (["--file", "/nowhere.toml"], 5),
        ([], 2),
    ],
)
def test_budget_that_cannot_be_meant_is_refused(
    fleet: Scenario, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    try:
        ended = main(["budget", "set", "digits", *arguments])
    except SystemExit as exit_:  # argparse's own
        ended = int(exit_.code or 0)
    assert ended == code
    assert capsys.readouterr().err


def test_benchmarks_are_shown_with_what_graphs_promised_otherwise(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLFLEET_SERVER", live_server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", token_of(make_person(Role.VIEWER)))
    make_scenario(24)
    text = shown(capsys, "benchmarks", "digits")
    assert "1.1.0 int8" in text
    assert "canonical" in text
    assert "bytes of the file: 1.1.0 int8 is 0.27 x 1.1.0 fp32" in text
    found = printed(capsys, "benchmarks", "digits")
    assert {one["a"] for one in found["disagreements"]} == {"1.0.0 fp32", "1.1.0 fp32"}
    assert all(series["invalid_runs"] <= series["runs"] for series in found["series"])


def test_waiting_devices_are_found_by_their_rule(fleet: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    (waiting,) = Installation.objects.exclude(refused_rule="").select_related("device")
    text = shown(capsys, "devices", "list", "--waiting-for", waiting.refused_rule)
    assert text.count("gate-") == 1
    assert waiting.refused_detail in shown(capsys, "devices", "show", waiting.device.name)
    assert f"1 for {waiting.refused_rule}, the first since" in shown(
        capsys, "rollouts", "show", str(waiting.rollout_id)
    )
