"""Attacks on the bytes: endless, slow, wrong, of another length, and patches that were made to do harm."""

from datetime import timedelta

import pytest

from tests.attacks.asserting import NEW, OLD, assert_recovers
from tests.attacks.scene import Play

attack = pytest.mark.attack
MAX_NEWS_S = 30.0
ASK_AGAIN = timedelta(hours=6)


def failures(events: list[dict[str, object]]) -> list[str]:
    """The reasons of the failed attempts that the device told."""
    return [str(event["detail"]["reason"]) for event in events if event["kind"] == "failed"]  # type: ignore[index]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("endless", marks=attack("endless news", "stopped reading at its cap")),
        pytest.param("drip", marks=attack("news that comes a byte at a time", "stopped waiting, and tries later")),
        pytest.param(
            "bomb", marks=attack("news that is a decompression bomb: 256 MiB in 255 kB", "stopped unpacking at its cap")
        ),
        pytest.param("nested", marks=attack("news of 200,000 nested lists", "refused it as no answer")),
        pytest.param("garbage", marks=attack("news whose fields are of other types", "refused it")),
    ],
)
def test_hostile_news_costs_a_cycle_and_no_more(play: Play, how: str) -> None:
    device = play.device()
    with play.attacker("news", how=how) as attacker:
        ended = device.run("once", timeout_s=MAX_NEWS_S)
        assert device.served == play.models[OLD]
        assert attacker.requests("models/digits/metadata/news")
    assert "Traceback" not in ended.log
    # News that were refused are asked for again after six hours, if nobody speaks of others before.
    assert_recovers(play, device, later=ASK_AGAIN)


@pytest.mark.parametrize(
    ("how", "most", "reasons"),
    [
        pytest.param(
            "other-bytes",
            None,
            {"wrong-digest"},
            marks=attack("right length, wrong bytes", "failed the attempt: `wrong-digest`"),
        ),
        pytest.param(
            "too-long",
            None,
            {"wrong-length"},
            marks=attack("longer than signed", "stopped at the announced length: `wrong-length`"),
        ),
        pytest.param(
            "too-short",
            None,
            {"wrong-length"},
            marks=attack("shorter than signed", "failed the attempt: `wrong-length`"),
        ),
        pytest.param(
            "endless",
            None,
            {"wrong-length"},
            marks=attack("endless model", "stopped at the signed length: `wrong-length`"),
        ),
        pytest.param(
            "longer-than-told",
            None,
            {"wrong-length"},
            marks=attack("model without a length, longer than signed", "stopped at the signed length: `wrong-length`"),
        ),
        pytest.param(
            "cut-then-other-bytes",
            100_000,
            {"wrong-digest"},
            marks=attack(
                "right beginning, and other bytes when it is continued by Range", "failed the attempt: `wrong-digest`"
            ),
        ),
        pytest.param(
            "other-range",
            100_000,
            {"wrong-length"},
            marks=attack("another range than the one that was asked for", "failed the attempt: `wrong-length`"),
        ),
    ],
)
def test_wrong_bytes_never_become_a_model(play: Play, how: str, most: int | None, reasons: set[str]) -> None:
    device = play.device()
    with play.attacker("artifact", how=how, most=most) as attacker:
        ended = device.once()
        assert ended.exit_code == 7, ended.log
        assert device.served == play.models[OLD]
        assert set(failures(attacker.events())) == reasons
    assert_recovers(play, device)


@attack("contract that comes a byte at a time", "stopped waiting, and continues it later")
def test_dripping_artifact_is_given_up(play: Play) -> None:
    device = play.device()
    with play.attacker("artifact", how="drip", which="contract"):
        ended = device.run("once", timeout_s=20.0)
        assert ended.exit_code == 6, ended.log
        assert device.served == play.models[OLD]
    assert_recovers(play, device)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            "other-model",
            marks=attack("valid patch that decodes to another model", "threw the result away, took `raw`"),
        ),
        pytest.param(
            "other-model-renamed",
            marks=attack(
                "patch that says the signed digest and decodes to other bytes", "threw the result away, took `raw`"
            ),
        ),
        pytest.param("cut-off", marks=attack("patch that ends early", "gave the patch up, took `raw`")),
        pytest.param("noise", marks=attack("patch of noise behind a good header", "gave the patch up, took `raw`")),
    ],
)
def test_hostile_patch_costs_a_fallback(play: Play, how: str) -> None:
    device = play.device()
    with play.attacker("patch", how=how, raw_too=True) as attacker:
        ended = device.once()
        assert ended.exit_code == 0, ended.log
        assert device.served == play.models[NEW]
        fallbacks = [event["detail"] for event in attacker.events() if event["kind"] == "fallback"]
        assert [(one["from"], one["to"]) for one in fallbacks] == [("delta", "raw")]


@attack("hostile patch as the only way", "failed the attempt, serves what it served")
def test_hostile_patch_alone_changes_nothing(play: Play) -> None:
    device = play.device()
    with play.attacker("patch", how="other-model-renamed", raw_too=False) as attacker:
        ended = device.once()
        assert ended.exit_code == 7, ended.log
        assert device.served == play.models[OLD]
        assert len(failures(attacker.events())) == 1
    assert_recovers(play, device)
