"""Enrolling, waiting for approval, and rotating the credential."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from agent import identity
from agent import serial as serial_of_machine
from agent.errors import NotApproved, Unauthenticated, WrongConfiguration
from agent.serial import found_serial
from tests.agent.device import MODEL, Device
from tests.agent.standin import CREDENTIAL, ENROLLMENT_TOKEN, StandIn, sha256


def kept(device: Device) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(device.layout.identity.read_bytes())
    return document


# --- Enrolling ------------------------------------------------------------------------------------------------------------


def test_pins_stay_on_the_device_and_the_server_hears_the_secret_alone(device: Device, server: StandIn) -> None:
    device.layout.identity.unlink()
    assert device.run("enroll", SMALLFLEET_ENROLLMENT_TOKEN=device.token).returncode == 0
    [(line, pin)] = identity.read(device.layout).pins.items()
    assert (line, pin) == (MODEL, sha256(server.line(MODEL).roots[0].encode()))
    [sent] = server.enrolled
    assert sent["token"] == ENROLLMENT_TOKEN
    assert pin not in json.dumps(sent)


@pytest.mark.parametrize(("head", "sent"), [('serial = "SN-1"', "SN-1"), ("", None)])
def test_configured_serial_is_said(
    head: str, sent: str | None, device: Device, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_of_machine, "found_serial", lambda: "")
    device.layout.identity.unlink()
    device.configure(head=head)
    identity.enroll(device.config, device.layout, ENROLLMENT_TOKEN, {})
    assert server.enrolled[0].get("serial") == sent


@pytest.mark.parametrize(
    ("content", "serial"),
    [(b"10000000f0f0f0f0\0", "10000000f0f0f0f0"), (b"\n", ""), (b"\0", ""), (b"a\x01b", ""), (b"x" * 200, "x" * 100)],
)
def test_serial_is_what_the_firmware_says(content: bytes, serial: str, tmp_path: Path) -> None:
    source = tmp_path / "serial-number"
    source.write_bytes(content)
    assert found_serial([tmp_path / "absent", source]) == serial


def test_device_without_a_token_waits_for_an_operator(device: Device, server: StandIn) -> None:
    device.layout.identity.unlink()
    assert device.run("enroll", "--without-token").returncode == 12, "with nothing to trust"
    root = sha256(server.line(MODEL).roots[0].encode())
    device.configure(f'[trust]\nroots = {{ {MODEL} = "{root}" }}\n')
    ended = device.run("enroll", "--without-token")
    assert (ended.returncode, "an operator has to approve it" in ended.stdout) == (0, True), ended.stderr
    assert "token" not in server.enrolled[0]


def test_pending_device_asks_on_at_a_steady_pace_and_works_once_approved(device: Device, server: StandIn) -> None:
    server.problems["poll"], server.retry_after_s = (403, "device-not-approved"), 60
    with device.agent() as agent:
        delays = [agent.cycle() for _ in range(20)]
        assert {outcome.exit_code for outcome in delays} == {NotApproved.exit_code}
        assert all(54 <= outcome.delay_s <= 66 for outcome in delays), "a person is no failing server"
        server.problems.clear()
        assert agent.cycle().exit_code == 0
    assert server.said is not None


def test_server_that_limits_is_left_alone_as_long_as_it_says(device: Device, server: StandIn) -> None:
    server.problems["poll"], server.retry_after_s = (429, "too-many-requests"), 700
    assert device.cycle().delay_s >= 700


# --- Rotation -------------------------------------------------------------------------------------------------------------


def test_credential_is_rotated_when_the_server_asks_and_the_old_one_is_gone(device: Device, server: StandIn) -> None:
    server.wants_rotation = True
    with device.agent() as agent:
        assert agent.cycle().exit_code == 0
        assert agent.cycle().exit_code == 0
    fresh = kept(device)["credential"]
    assert fresh != CREDENTIAL
    assert len(fresh) == 47
    assert fresh.startswith("sfd_")
    assert kept(device)["next_credential"] is None
    assert stat.S_IMODE(device.layout.identity.stat().st_mode) == 0o600
    assert server.credentials == [sha256(fresh.encode())]
    [announced] = server.requests("PUT", "credential")
    assert announced.json() == {"next_sha256": sha256(fresh.encode())}, "its secret was not sent to announce it"
    assert device.cycle().exit_code == 0


def test_announcement_that_fails_keeps_both_and_is_tried_again(device: Device, server: StandIn) -> None:
    server.wants_rotation = True
    for problem in [(503, "server-error"), (400, "invalid-input"), (429, "too-many-requests")]:
        server.problems["credential"] = problem
        assert device.cycle().exit_code == 0, "the rest of the cycle does not suffer"
        assert kept(device)["credential"] == CREDENTIAL
    waiting = kept(device)["next_credential"]
    assert len({seen.body for seen in server.requests("PUT", "credential")}) == 1, "the same secret each time"
    server.problems.clear()
    with device.agent() as agent:
        agent.cycle()
        assert agent.cycle().exit_code == 0
    assert kept(device)["credential"] == waiting


def test_disk_that_is_behind_the_server_goes_over_to_the_secret_that_waits(device: Device, server: StandIn) -> None:
    """Power failed, and the disk lost what it had called durable: the server knows only the secret that is still `next` here."""
    fresh = "sfd_" + "f" * 43
    document = kept(device) | {"next_credential": fresh}
    device.layout.identity.write_text(json.dumps(document))
    server.credentials = [sha256(fresh.encode())]
    assert device.cycle().exit_code == 0
    assert (kept(device)["credential"], kept(device)["next_credential"]) == (fresh, None)


def test_revoked_device_with_a_secret_that_waits_is_refused_as_any(device: Device, server: StandIn) -> None:
    device.layout.identity.write_text(json.dumps(kept(device) | {"next_credential": "sfd_" + "f" * 43}))
    server.credentials = []
    with device.agent() as agent:
        assert [agent.cycle().exit_code for _ in range(3)] == [Unauthenticated.exit_code] * 3
    assert len(server.requests("POST", "poll")) == 4, "each secret once, then one a cycle"


def test_neither_secret_is_shown(device: Device, server: StandIn) -> None:
    server.wants_rotation = True
    server.problems["credential"] = (503, "server-error")
    ended = device.run("once", "--log-level", "debug")
    both = (kept(device)["credential"], kept(device)["next_credential"])
    assert None not in both
    shown = ended.stdout + ended.stderr + device.run("status", "--json").stdout + repr(identity.read(device.layout))
    assert not any(secret in shown for secret in both)


# --- Configuration --------------------------------------------------------------------------------------------------------


def test_certificate_without_its_key_is_a_wrong_configuration(device: Device, tmp_path: Path) -> None:
    certificate = tmp_path / "device.pem"
    certificate.write_text("")
    device.configure(f'[tls]\nclient_cert = "{certificate}"\n')
    with pytest.raises(WrongConfiguration, match="client_key"):
        _ = device.config
