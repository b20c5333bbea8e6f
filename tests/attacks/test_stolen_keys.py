"""Stolen keys, what they achieve, and how their owner ends it with `smallfleet trust`."""

from datetime import timedelta

import pytest

from client.stack import Stack
from client.trust.keys import read_public_key
from tests.attacks.asserting import NEW, OLD, assert_recovers
from tests.attacks.scene import Device, Play, publish, roll_out
from tests.attacks.thief import LINE

attack = pytest.mark.attack


def revoke(stack: Stack, *, keep: str) -> None:
    """What the owner does: take the publisher's key out of the root, and make and use another."""
    key = stack.home / "trust" / LINE / "publisher.pem"
    keyid = read_public_key(key.with_suffix(".pub")).keyid
    key.rename(key.with_suffix(".stolen"))
    stack.cli("trust", "revoke", LINE, keyid, "--keep", keep)


def assert_thief_is_out(play: Play, device: Device) -> None:
    """The same attack once more finds a device that believes nothing of it."""
    served = device.served
    with play.attacker("stolen_publisher", key=str(play.scene.publisher_key), ahead=50) as attacker:
        device.once()
        assert device.served == served
        assert attacker.told_rule() in {"metadata-refused", "not-signed"}


@attack(
    "stolen publisher's key, and the server: a bad model, rightly signed",
    "installs it; after `trust revoke`, `trust rotate --role online` and a publication it takes the good one, and the thief's never again",
    bound="until the owner revokes the key",
)
def test_stolen_publisher_key_works_until_it_is_revoked(play: Play) -> None:
    device = play.device()
    with play.attacker("stolen_publisher", key=str(play.scene.publisher_key)):
        ended = device.once()
        assert device.served not in play.models.values(), ended.log
    with play.honest(new_online_keys=True) as stack:
        stack.cli("trust", "rotate", LINE, "--role", "online")
        revoke(stack, keep="1.1.0/fp32")
        ended = device.once()
        # The thief called his model 6.6.6: to go below that takes the publisher's word.
        assert device.status()["refused"]["rule"] == "downgrade", ended.log
        publish(stack, LINE, "1.1.0", play.scene.files["1.1.0"], "--allow-downgrade")
        ended = device.once()
        assert device.served == play.models[NEW], ended.log
    assert_thief_is_out(play, device)


@attack(
    "fast-forward of snapshot and timestamp with the online keys",
    "takes the numbers, and nothing else; afterwards it refuses every further list from the real server, and serves what it served",
    bound="until `trust rotate --role online`",
)
def test_fast_forward_with_online_keys_ends_with_their_rotation(play: Play) -> None:
    device = play.device()
    with play.attacker("fast_forward"):
        device.once()
        assert device.served == play.models[OLD]
    with play.honest() as stack:
        device.once()
        assert device.served == play.models[NEW]  # of a list that it knows
        publish(stack, LINE, "1.2.0", play.scene.files["0.9.5"])
        roll_out(stack, "1.2.0")
        ended = device.once()
        assert device.served == play.models[NEW]
        assert device.status()["refused"]["rule"] == "metadata-refused", ended.log
    with play.honest(new_online_keys=True) as stack:
        stack.cli("trust", "rotate", LINE, "--role", "online")
        ended = device.once(later=timedelta(hours=6))
        assert device.served == play.models["0.9.5"], ended.log


@attack(
    "fast-forward of the list with a stolen publisher's key and the online keys",
    "takes the numbers; afterwards it refuses the real server's lower ones, and serves what it served",
    bound="until `trust revoke` and `trust rotate --role online`",
)
def test_fast_forward_of_the_list_ends_with_revocation(play: Play) -> None:
    device = play.device()
    with play.attacker("fast_forward", publisher=str(play.scene.publisher_key)):
        device.once()
        assert device.served == play.models[OLD]
    with play.honest(new_online_keys=True) as stack:
        stack.cli("trust", "rotate", LINE, "--role", "online")
        revoke(stack, keep="1.1.0/fp32")
    assert_recovers(play, device)
    assert_thief_is_out(play, device)


@attack("revoked publisher's key, with new online keys on the server", "refuses what it signs: `metadata-refused`")
def test_revoked_key_signs_nothing(play: Play) -> None:
    device = play.device()
    with play.honest() as stack:
        revoke(stack, keep="1.1.0/fp32")
        device.once()
        assert device.served == play.models[NEW]
    assert_thief_is_out(play, device)
