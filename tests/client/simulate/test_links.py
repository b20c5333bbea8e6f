"""Links as arithmetic: tables worked out by hand, and the files and mixes that name them."""

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from client.errors import ConfigError, LocalFileError
from client.simulate.clock import Coverage
from client.simulate.links import LinkProfile, deal, parse_mix, parse_shares, read_profiles

# 1,000 bytes of payload in a packet, and rates at which every figure comes out whole.
LINK = LinkProfile(
    name="plain",
    down_bytes_per_s=10_000,
    up_bytes_per_s=1_000,
    round_trip_s=0.5,
    mtu_bytes=1_052,
    connect_bytes=5_000,
    price_per_mb=Decimal("4.00"),
    metered=True,
    loss=0.0,
    offline=0.0,
    offline_s=3_600,
)


@pytest.mark.parametrize(
    ("sent", "received", "connects", "link_bytes", "seconds"),
    [
        (0, 0, 0, 0, 0.5),
        # One packet each way, each acknowledged: 4 x 52 bytes of headers.
        (100, 1_000, 0, 1_308, 152 / 1_000 + 1_052 / 10_000 + 0.5),
        # A new connection: two round trips more, and its own bytes, which come down.
        (100, 1_000, 1, 6_308, 152 / 1_000 + 6_052 / 10_000 + 1.5),
        # Ten packets down, five acknowledgements; one up, one acknowledgement.
        (100, 9_500, 0, 9_600 + 17 * 52, 152 / 1_000 + 10_020 / 10_000 + 0.5),
    ],
)
def test_exchange_takes_what_the_profile_says(
    sent: int, received: int, connects: int, link_bytes: int, seconds: float
) -> None:
    assert LINK.link_bytes(sent=sent, received=received, connects=connects) == link_bytes
    assert LINK.seconds(sent=sent, received=received, connects=connects) == pytest.approx(seconds)


def test_body_within_some_seconds_takes_those_seconds() -> None:
    payload = LINK.payload_within(2.0)
    assert LINK.one_way_bytes(payload) / LINK.down_bytes_per_s == pytest.approx(2.0, rel=0.01)
    assert LINK.payload_within(-1.0) == 0


def test_built_in_profiles_are_read_and_ordered_as_people_expect() -> None:
    profiles = read_profiles()
    assert set(profiles) == {"ethernet", "wifi", "lte-m", "nb-iot", "satellite"}
    took = {name: profile.seconds(sent=500, received=500_000, connects=1) for name, profile in profiles.items()}
    assert sorted(took, key=lambda name: took[name]) == ["ethernet", "wifi", "satellite", "lte-m", "nb-iot"]
    assert not profiles["ethernet"].metered
    assert profiles["satellite"].price_per_mb > profiles["lte-m"].price_per_mb > 0


def test_own_file_changes_a_profile_and_adds_one(tmp_path: Path) -> None:
    own = tmp_path / "links.toml"
    table = "\n".join(
        f"{field} = {value!r}"
        for field, value in {
            "down_bytes_per_s": 5000, "up_bytes_per_s": 5000, "round_trip_s": 1, "mtu_bytes": 576, "connect_bytes": 100,
            "price_per_mb": "0.5", "loss": 0.1, "offline": 0, "offline_s": 60,
        }.items()
    )  # fmt: skip
    own.write_text(f'[lte-m]\nprice_per_mb = "1.25"\n[radio]\nmetered = true\n{table}\n')
    profiles = read_profiles(own)
    assert profiles["lte-m"] == replace(read_profiles()["lte-m"], price_per_mb=Decimal("1.25"))
    assert profiles["radio"].mtu_bytes == 576


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[radio]\nloss = 0.1\n", "radio.down_bytes_per_s: is missing"),
        ("[wifi]\nloss = 1.5\n", "wifi.loss"),
        ("[wifi]\nprice_per_mb = 4\n", "wifi.price_per_mb"),
        ('[wifi]\nprice_per_mb = "-1"\n', "wifi.price_per_mb"),
        ("[wifi]\nlatency = 4\n", "wifi.latency"),
        ("wifi = 3\n", "wifi must be a table"),
        ("[wifi", "cannot be read as TOML"),
    ],
)
def test_wrong_profile_is_named(tmp_path: Path, text: str, named: str) -> None:
    own = tmp_path / "links.toml"
    own.write_text(text)
    with pytest.raises(ConfigError, match=named.replace("[", r"\[")):
        read_profiles(own)


def test_missing_file_of_profiles_is_a_local_file_error(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="--profiles"):
        read_profiles(tmp_path / "none.toml")


def test_mix_is_made_to_add_up_to_one() -> None:
    assert parse_shares("a=3, b=1", "--links") == {"a": 0.75, "b": 0.25}
    assert parse_shares("a", "--links") == {"a": 1.0}


@pytest.mark.parametrize("text", ["", "a,b", "a=0,b=1", "a=x", "=1", "a=1,a=2", "a=-1", "a=inf", "a=nan"])
def test_wrong_mix_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--from"):
        parse_shares(text, "--from")


def test_unknown_profile_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(ConfigError, match="no profile 'carrier-pigeon'; there are ethernet, lte-m"):
        parse_mix("carrier-pigeon", read_profiles())


@pytest.mark.parametrize(
    ("shares", "count", "dealt"),
    [
        ({"a": 0.5, "b": 0.3, "c": 0.2}, 10, (5, 3, 2)),
        ({"a": 0.5, "b": 0.3, "c": 0.2}, 7, (4, 2, 1)),
        ({"a": 1.0, "b": 0.0, "c": 0.0}, 3, (3, 0, 0)),
        ({"a": 1, "b": 1, "c": 1}, 2, (1, 1, 0)),
    ],
)
def test_devices_are_dealt_in_their_shares_exact_to_one(
    shares: dict[str, float], count: int, dealt: tuple[int, ...]
) -> None:
    hand = deal(shares, count, random.Random(1))
    assert tuple(hand.count(kind) for kind in "abc") == dealt


def test_device_is_out_of_reach_for_its_share_of_the_time() -> None:
    profile = replace(LINK, offline=0.25, offline_s=100)
    out = [Coverage(profile, random.Random(seed)).is_out(0.0) for seed in range(2_000)]
    assert sum(out) / len(out) == pytest.approx(0.25, abs=0.03)
    coverage = Coverage(profile, random.Random(1))
    later = [coverage.is_out(float(at_s)) for at_s in range(0, 200_000, 10)]
    assert sum(later) / len(later) == pytest.approx(0.25, abs=0.03)


def test_reach_ends_when_it_was_said_to_end() -> None:
    profile = replace(LINK, offline=0.5, offline_s=100)
    coverage = Coverage(profile, random.Random(3))
    at_s = 0.0
    for _turn in range(50):
        while coverage.is_out(at_s):
            at_s += 1
        left_s = coverage.reach_left_s(at_s)
        assert not coverage.is_out(at_s + left_s * 0.999)
        at_s += left_s
        assert coverage.is_out(at_s)


def test_link_that_is_always_there_is_always_there() -> None:
    coverage = Coverage(LINK, random.Random(1))
    assert not coverage.is_out(1e12)
    assert coverage.reach_left_s(0.0) == float("inf")


def test_page_shows_the_built_in_profiles() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "simulate.md").read_text()
    for profile in read_profiles().values():
        cells = [
            f"`{profile.name}`",
            f"{profile.down_bytes_per_s:,.0f}",
            f"{profile.up_bytes_per_s:,.0f}",
            f"{profile.round_trip_s:g}",
            str(profile.price_per_mb),
            f"{profile.loss * 100:g} %",
            f"{profile.offline * 100:g} %",
        ]
        assert f"| {' | '.join(cells)} |" in page
