"""Two publishers at once: who is second reads the other's list, checks it, makes the change again and signs."""

from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from client.errors import Refused, Untrusted
from client.rest import RestClient
from client.trust.documents import read_targets, sign_targets
from client.trust.line import TRIES, LineTrust
from client.trust.live import LocalFile, SignedFacts, Targets
from tests.client.stand_in import StandIn, answer_json, problem
from tests.client.trusted import MODEL, Trusted, make_trusted

METADATA = "/api/v1/models/digits/metadata"
OUTDATED = problem(409, "metadata-outdated", detail="the next version is 3")


def target(version: str) -> TargetFile:
    return SignedFacts(MODEL, version, "fp32", LocalFile("a" * 64, 10), LocalFile("c" * 64, 2)).as_target()


MINE, OTHERS = target("1.0.0"), target("2.0.0")


def add_mine(live: Targets) -> Targets:
    return {**live, MINE.path: MINE}


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    return make_trusted(tmp_path)


@pytest.fixture
def line(rest: RestClient, trusted: Trusted, pauses: list[float]) -> LineTrust:
    return LineTrust(rest, trusted.folder, sleep=pauses.append)


def test_second_publisher_signs_on_top_of_the_firsts_list(
    server: StandIn, line: LineTrust, trusted: Trusted, pauses: list[float]
) -> None:
    before = trusted.news()
    trusted.sign({OTHERS.path: OTHERS})
    server.script("GET", f"{METADATA}/news", answer_json(before), answer_json(trusted.news()))
    server.script("PUT", f"{METADATA}/2.targets.json", OUTDATED)
    server.script("PUT", f"{METADATA}/3.targets.json", answer_json({"version": 3}, 201))
    signed = line.change_targets(add_mine, trusted.publisher)
    assert signed
    sent = read_targets(server.asked[-1].body, MODEL, [trusted.root])
    assert sent.version == 3
    assert dict(sent.targets) == {MINE.path: MINE, OTHERS.path: OTHERS}
    assert 0 < sum(pauses) < 10


def test_what_the_other_signed_already_is_not_signed_again(server: StandIn, line: LineTrust, trusted: Trusted) -> None:
    """The answer to our own list was lost, and the repeat was refused."""
    before = trusted.news()
    trusted.sign({MINE.path: MINE})
    server.script("GET", f"{METADATA}/news", answer_json(before), answer_json(trusted.news()))
    server.script("PUT", f"{METADATA}/2.targets.json", OUTDATED)
    assert line.change_targets(add_mine, trusted.publisher) is None
    assert [asked.method for asked in server.asked] == ["GET", "PUT", "GET"]


def test_forged_list_is_never_signed_on_top_of_not_even_in_a_hurry(
    server: StandIn, line: LineTrust, trusted: Trusted
) -> None:
    """The thief of the server answers 409 and shows a list of his own."""
    thief = CryptoSigner.generate_ed25519()
    forged = sign_targets({OTHERS.path: OTHERS}, version=2, model=MODEL, signer=thief, now=line.now())
    news = trusted.news()
    server.script(
        "GET", f"{METADATA}/news", answer_json(news), answer_json(news | {"targets": forged.content.decode()})
    )
    server.script("PUT", f"{METADATA}/2.targets.json", OUTDATED)
    with pytest.raises(Untrusted, match="signed by no publisher"):
        line.change_targets(add_mine, trusted.publisher)
    assert [asked.method for asked in server.asked] == ["GET", "PUT", "GET"]


def test_list_that_is_hidden_is_not_begun_anew(server: StandIn, line: LineTrust, trusted: Trusted) -> None:
    """Shown no list at all, a publisher would end with his own what others let live, under a number that devices have passed."""
    trusted.folder.keep_targets(trusted.sign({OTHERS.path: OTHERS}))
    server.script("GET", f"{METADATA}/news", answer_json({"roots": []}))
    with pytest.raises(Untrusted, match=r"shows no list of digits, and .* has seen 2"):
        line.change_targets(add_mine, trusted.publisher)


def test_forged_root_does_not_make_the_thief_a_publisher(server: StandIn, line: LineTrust, trusted: Trusted) -> None:
    thief = make_trusted(trusted.folder.path.parent / "thief")
    thief.sign({OTHERS.path: OTHERS})
    news = thief.news() | {"roots": [thief.root.content.decode().replace('"version":1', '"version":2')]}
    server.script("GET", f"{METADATA}/news", answer_json(news))
    with pytest.raises(Untrusted, match="root 2 of digits is not signed"):
        line.change_targets(add_mine, trusted.publisher)
    assert not (trusted.folder.path / "2.root.json").exists()


def test_always_being_second_ends_with_the_servers_words(
    server: StandIn, line: LineTrust, trusted: Trusted, pauses: list[float]
) -> None:
    server.script("GET", f"{METADATA}/news", answer_json(trusted.news()))
    server.script("PUT", f"{METADATA}/2.targets.json", OUTDATED)
    with pytest.raises(Refused, match="metadata-outdated"):
        line.change_targets(add_mine, trusted.publisher)
    assert len([asked for asked in server.asked if asked.method == "PUT"]) == TRIES
    assert len(pauses) == TRIES - 1


def test_other_refusals_are_not_tried_again(server: StandIn, line: LineTrust, trusted: Trusted) -> None:
    server.script("GET", f"{METADATA}/news", answer_json(trusted.news()))
    server.script("PUT", f"{METADATA}/2.targets.json", problem(422, "metadata-differs"))
    with pytest.raises(Refused, match="metadata-differs"):
        line.change_targets(add_mine, trusted.publisher)
    assert len(server.asked) == 2
