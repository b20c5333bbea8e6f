"""Attacks on the signed metadata: forged, old, mixed, from another line, pushed far ahead."""

import pytest

from tests.attacks.asserting import assert_recovers, assert_refused
from tests.attacks.scene import LISTS, Play

attack = pytest.mark.attack


@attack("model that nobody signed, ordered by the poll answer", "refused it: `not-signed`")
def test_unsigned_model_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("unsigned_model") as attacker:
        assert_refused(play, device, attacker, device.once(), "not-signed")
    assert_recovers(play, device)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("foreign", marks=attack("list signed by a foreign key", "refused it: `metadata-refused`")),
        pytest.param(
            "snapshot", marks=attack("list signed by the stolen snapshot key", "refused it: `metadata-refused`")
        ),
        pytest.param(
            "timestamp", marks=attack("list signed by the stolen timestamp key", "refused it: `metadata-refused`")
        ),
    ],
)
def test_forged_list_is_refused(play: Play, key: str) -> None:
    device = play.device()
    with play.attacker("forged_targets", key=key) as attacker:
        assert_refused(play, device, attacker, device.once(), "metadata-refused")
    assert_recovers(play, device)


@attack("publisher's signature under a list that was altered after it", "refused it: `metadata-refused`")
def test_altered_list_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("altered_targets") as attacker:
        assert_refused(play, device, attacker, device.once(), "metadata-refused")
    assert_recovers(play, device)


@attack("next root, signed without the root key, that names the thief as publisher", "refused it: `metadata-refused`")
def test_forged_root_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("forged_root") as attacker:
        assert_refused(play, device, attacker, device.once(), "metadata-refused")
    assert_recovers(play, device)


@attack("whole new chain of roots, shown to an enrolled device", "refused it: `metadata-refused`")
def test_new_root_chain_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("forged_root", first=True) as attacker:
        assert_refused(play, device, attacker, device.once(), "metadata-refused")
    assert_recovers(play, device)


@pytest.mark.parametrize(
    ("role", "to"),
    [
        pytest.param(
            "targets",
            LISTS["1.0.7"],
            marks=attack(
                "rollback of the list to one with a withdrawn model, under a newer snapshot and timestamp",
                "refused it: `metadata-refused`",
            ),
        ),
        pytest.param(
            "snapshot",
            LISTS["1.0.7"],
            marks=attack("rollback of the snapshot, under a newer timestamp", "refused it: `metadata-refused`"),
        ),
        pytest.param(
            "timestamp",
            LISTS["1.0.7"],
            marks=attack("replay of an older timestamp with all below it", "refused it: `metadata-refused`"),
        ),
    ],
)
def test_rollback_is_refused(play: Play, role: str, to: int) -> None:
    device = play.device()
    with play.attacker("rollback", role=role, to=to, version="1.0.5") as attacker:
        assert_refused(play, device, attacker, device.once(), "metadata-refused")
    assert_recovers(play, device)


@attack(
    "mix and match: an older list in the place of the one that the newest snapshot names",
    "refused it: `metadata-refused`",
)
def test_mixed_metadata_is_refused(play: Play) -> None:
    device = play.device()
    with play.attacker("mix_and_match", old=LISTS["1.0.7"]) as attacker:
        assert_refused(play, device, attacker, device.once(), "metadata-refused")
    assert_recovers(play, device)


@pytest.mark.parametrize(
    "scheme",
    [
        pytest.param(
            "other_line",
            marks=attack("another line's list, signed by the same publisher", "refused it: `metadata-refused`"),
            id="list",
        ),
        pytest.param(
            "other_line_and_root",
            marks=attack("another line's next root, signed by the same owner", "refused it: `metadata-refused`"),
            id="root",
        ),
    ],
)
def test_metadata_of_another_line_is_refused(play: Play, scheme: str) -> None:
    device = play.device()
    with play.attacker(scheme) as attacker:
        assert_refused(play, device, attacker, device.once(), "metadata-refused")
    assert_recovers(play, device)
