"""What every attack test looks at: what a user sees on the device, and what the device told the server."""

from datetime import timedelta

from tests.attacks.scene import Attacker, Device, Ended, Play

OLD, NEW = "1.0.0", "1.1.0"


def assert_refused(play: Play, device: Device, attacker: Attacker, ended: Ended, rule: str, *, code: int = 0) -> None:
    """The device serves what it served, and says everywhere by which rule it refused."""
    assert ended.exit_code == code, ended.log
    assert device.served == play.models[OLD]
    refused = device.status()["refused"]
    assert refused is not None, ended.log
    assert refused["rule"] == rule, refused
    assert attacker.told_rule() == rule


def assert_recovers(play: Play, device: Device, *, later: timedelta = timedelta()) -> None:
    """With the real server back, the device takes what the publisher signed last, without a hand."""
    device.be_patient()
    with play.honest():
        ended = device.once(later=later)
    assert ended.exit_code == 0, ended.log
    assert device.served == play.models[NEW], ended.log
    assert device.status()["refused"] is None
