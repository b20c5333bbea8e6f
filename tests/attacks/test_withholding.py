"""What succeeds within a bound: whoever holds the server can keep news back until what the publisher signed has expired.

The bound is measured with the agent's own clock: a minute before the end the attack works, a minute after it the device refuses.
"""

from datetime import UTC, datetime, timedelta

import pytest
from tuf.api.metadata import Metadata, Targets

from tests.attacks.asserting import assert_recovers, assert_refused
from tests.attacks.scene import BEFORE, LISTS, Play

attack = pytest.mark.attack
MINUTE = timedelta(minutes=1)
SIGNED_FOR = timedelta(days=28)
MOST = timedelta(days=30)


def left(play: Play, version: str) -> timedelta:
    """How long a list still lives, which `smallfleet publish` has signed within the last minutes."""
    targets = Metadata[Targets].from_bytes(play.thief().metadata("targets", LISTS[version])).signed
    life = targets.expires - datetime.now(UTC)
    assert SIGNED_FOR - 10 * MINUTE < life <= SIGNED_FOR < MOST
    return life


@attack(
    "withholding a withdrawal: a good signature of a list from before it, under timestamps that the stolen key renews",
    "a device that had not heard of it installs the withdrawn version",
    bound="until the list expires, 28 d after it was signed: installed 1 min before, refused 1 min after (`metadata-expired`)",
)
def test_withheld_withdrawal_works_until_the_list_expires(play: Play) -> None:
    victim, late = play.device(BEFORE), play.device(BEFORE)
    end = left(play, "1.0.7")
    with play.attacker("freeze", targets=LISTS["1.0.7"], version="1.0.5") as attacker:
        assert_refused(play, late, attacker, late.once(later=end + MINUTE), "metadata-expired")
    with play.attacker("freeze", targets=LISTS["1.0.7"], version="1.0.5"):
        ended = victim.once(later=end - MINUTE)
        assert victim.served == play.models["1.0.5"], ended.log


@attack(
    "freeze: the same list for ever",
    "the device hears of nothing newer, and steps back to `previous` when it is ordered to",
    bound="until the list expires, 28 d after it was signed: 1 min before it steps back, 1 min after it says `metadata-expired` and changes nothing",
)
def test_frozen_device_notices_and_stops(play: Play) -> None:
    before, after = play.device(), play.device()
    end = left(play, "withdrawn")
    with play.attacker("order", version="0.9.0", targets=LISTS["withdrawn"]) as attacker:
        assert_refused(play, after, attacker, after.once(later=end + MINUTE), "metadata-expired")
    with play.attacker("order", version="0.9.0", targets=LISTS["withdrawn"]):
        ended = before.once(later=end - MINUTE)
        assert before.served == play.models["0.9.0"], ended.log


@attack(
    "order to step back to the healthy `previous`",
    "steps back, without a byte; refused when the metadata has expired",
    bound="until the list expires, 28 d after it was signed",
)
def test_ordered_step_back_needs_live_metadata(play: Play) -> None:
    device = play.device()
    with play.attacker("order", version="0.9.0") as attacker:
        ended = device.once()
        assert ended.exit_code == 0, ended.log
        assert device.served == play.models["0.9.0"]
        assert not attacker.requests("artifacts")


@attack(
    "list that has expired, from a server that cannot have a newer one",
    "runs on with what it has, says `metadata-expired`, installs nothing; goes on when the metadata is good again",
)
def test_expired_metadata_stops_news_and_not_the_model(play: Play) -> None:
    device = play.device()
    with play.attacker("order", version="1.1.0") as attacker:
        assert_refused(play, device, attacker, device.once(later=left(play, "1.1.0") + MINUTE), "metadata-expired")
    assert_recovers(play, device)


@attack(
    "clock of the device set back by four weeks, to make an old list look alive",
    "counts on from the time at which it last found metadata good, by its seconds since boot: `metadata-expired`",
)
def test_clock_that_was_set_back_does_not_revive_a_list(play: Play) -> None:
    device, end = play.device(), left(play, "withdrawn")
    with play.attacker("freeze", targets=LISTS["withdrawn"], version="1.0.0"):
        assert device.once(later=end - timedelta(hours=1)).exit_code == 0
    with play.attacker("order", version="0.9.0", targets=LISTS["withdrawn"]) as attacker:
        assert_refused(play, device, attacker, device.once_with_clock_set_back(later=end + MINUTE), "metadata-expired")


@pytest.mark.parametrize(("seconds", "most_s"), [("1e29", 86_400.0), ("604800", 86_400.0)])
@attack(
    "`poll_after_s` of a week, or of ages",
    "polls again after a day at the latest",
    bound="24 h and the jitter of a tenth",
)
def test_long_pause_is_capped(play: Play, seconds: str, most_s: float) -> None:
    device = play.device()
    with play.attacker("poll_answer", poll_after_s=seconds, target={"version": "1.1.0"}):
        told = play.daemon_status(device)
    assert told["polled"]["result"] == "answered"
    assert most_s * 0.9 - 60 <= told["polled"]["next_in_s"] <= most_s * 1.1


@attack(
    "wrong bytes again and again, each time in another rollout, to spend the link's money",
    "the device fetches what it is told to, and throws it away",
    bound="the owner's `mb_per_day` or `metered_mb_per_day`; there is none by default",
)
def test_wasted_bytes_end_with_the_days_budget(play: Play) -> None:
    device = play.device(policy="mb_per_day = 2\n")
    with play.attacker("waste") as attacker:
        for _poll in range(5):
            device.once()
        assert_refused(play, device, attacker, device.once(), "day-budget")
    assert 1_900_000 < device.whole_status()["today"]["bytes"] < 2_000_000
