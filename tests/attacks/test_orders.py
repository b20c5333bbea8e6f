"""Attacks by what a poll answer may order: nothing in it is forged metadata, and nothing of it is believed beyond what is signed."""

from typing import Any

import pytest

from tests.attacks.asserting import NEW, OLD, assert_recovers, assert_refused
from tests.attacks.scene import Play

attack = pytest.mark.attack


@attack("order to install an older version that is live, and never was on this device", "refused it: `downgrade`")
def test_ordered_downgrade_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("order", version="0.9.5") as attacker:
        assert_refused(play, device, attacker, device.once(), "downgrade")
    assert_recovers(play, device)


@attack(
    "order to step back to `previous`, and from there up to a version between the two, which never was on this device",
    "stepped back, and refused the rest: `downgrade`",
)
def test_downgrade_in_two_steps_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("order", version="0.9.0"):
        device.once()
        assert device.served == play.models["0.9.0"]
    with play.attacker("order", version="0.9.5") as attacker:
        ended = device.once()
        assert device.served == play.models["0.9.0"], ended.log
        assert attacker.told_rule() == "downgrade"
    assert_recovers(play, device)


@attack("order to install a version that was signed for other classes of devices", "refused it: `device-class`")
def test_model_of_another_device_class_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("order", version="1.0.6") as attacker:
        assert_refused(play, device, attacker, device.once(), "device-class")
    assert_recovers(play, device)


@attack("replay of an old order, for a version that was withdrawn since", "refused it: `not-signed`")
def test_replayed_order_of_a_withdrawn_version_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("order", version="1.0.5") as attacker:
        assert_refused(play, device, attacker, device.once(), "not-signed")
    assert_recovers(play, device)


@attack(
    "signed model that misses its golden outputs, with tolerances, limits and sample set loosened in the poll answer",
    "measured it by what is signed, and failed the attempt",
)
def test_loosened_tolerances_are_not_believed(play: Play) -> None:
    device = play.device()
    with play.attacker("loosened", version="1.0.7") as attacker:
        ended = device.once()
        assert ended.exit_code == 7, ended.log
        assert device.served == play.models[OLD]
        (failed,) = [event["detail"] for event in attacker.events() if event["kind"] == "failed"]
        assert failed["stage"] == "smoke"
    assert_recovers(play, device)


PATH_TRICKS: tuple[dict[str, Any], ...] = (
    {"target": {"sha256": "../../../../tmp/evil"}},
    {"target": {"sha256": "A" * 64}},
    {"target": {"contract": {"sha256": "../../evil", "size_bytes": 3}}},
    {"model": "../../evil"},
    {"rollout": "../../evil"},
    {"ways": [{"way": "raw", "sha256": "/etc/passwd", "size_bytes": 1}]},
    {
        "target": {"version": "../../evil", "variant": "../evil"}
    },  # its digest is signed: it is installed, by its signed name
)


@attack(
    "path tricks in digest, version, variant, contract, model, rollout and way of a poll answer",
    "derived no path from them",
)
def test_no_path_comes_from_the_wire(play: Play) -> None:
    device = play.device()
    for wrong in PATH_TRICKS:
        with play.attacker("poll_answer", **wrong):
            ended = device.once()
        assert "Traceback" not in ended.log
        assert device.served in {play.models[OLD], play.models[NEW]}
        assert not [path for path in play.folder.rglob("*") if "evil" in path.name]
    assert_recovers(play, device)


@attack(
    "`poll_after_s` that is no number of seconds", "refused the answer, keeps what it serves, polls again after a pause"
)
def test_impossible_poll_after_is_refused(play: Play) -> None:
    device = play.device()
    for seconds in ("NaN", "-1", "-Infinity", '"soon"'):
        with play.attacker("poll_answer", poll_after_s=seconds):
            ended = device.once()
        assert ended.exit_code == 8, ended.log
        assert device.served == play.models[OLD]
    assert_recovers(play, device)


@attack("304 to every poll", "keeps what it serves; goes on when the server is back")
def test_nothing_new_for_ever_leaves_the_device_as_it_is(play: Play) -> None:
    device = play.device()
    with play.attacker("not_modified") as attacker:
        ended = device.once()
        assert ended.exit_code == 0, ended.log
        assert device.served == play.models[OLD]
        assert attacker.requests("poll")
    assert_recovers(play, device)
