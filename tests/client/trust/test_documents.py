"""What may be signed on top of: chains of roots, lists of publishers, and everything that a stolen server could show instead."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root, TargetFile

from client.errors import ConfigError, Untrusted
from client.trust.documents import (
    MAX_TARGETS,
    SignedRoot,
    follow,
    key_from_wire,
    next_root,
    read_root,
    read_targets,
    replace_keys,
    sign_targets,
)
from client.trust.live import (
    LocalFile,
    SignedFacts,
    decimal_text,
    differences,
    oldest_versions,
    with_target,
    without_version,
)
from tests.client.trusted import MODEL, Trusted, make_trusted

NOW = datetime.now(UTC)


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    return make_trusted(tmp_path)


def target(version: str = "1.0.0", variant: str = "fp32", *, model: str = MODEL, digest: str = "a" * 64) -> TargetFile:
    return SignedFacts(model, version, variant, LocalFile(digest, 10), LocalFile("c" * 64, 2)).as_target()


def successor(trusted: Trusted, change: Callable[[Root], None], *signers: CryptoSigner) -> SignedRoot:
    return next_root(trusted.root, change, signers=signers or [trusted.root_key], model=MODEL, now=NOW)


def test_newer_roots_are_followed_to_the_newest(trusted: Trusted) -> None:
    second = CryptoSigner.generate_ed25519()
    root_2 = successor(trusted, lambda root: replace_keys(root, "root", [second.public_key]), trusted.root_key, second)
    root_3 = next_root(root_2, lambda _root: None, signers=[second], model=MODEL, now=NOW)
    chain = follow(trusted.root, [root_2.content, root_3.content], MODEL)
    assert [root.version for root in chain] == [2, 3]
    assert chain[-1].sha256 == root_3.sha256


def test_root_that_the_old_key_did_not_sign_is_refused(trusted: Trusted) -> None:
    """What a thief of the server would show: a root of his own, which signs itself."""
    thief = CryptoSigner.generate_ed25519()
    with pytest.raises(Untrusted, match="not signed by root 1's keys and its own"):
        successor(trusted, lambda root: replace_keys(root, "root", [thief.public_key]), thief)


def test_new_root_key_that_did_not_sign_is_refused(trusted: Trusted) -> None:
    fresh = CryptoSigner.generate_ed25519()
    with pytest.raises(Untrusted):
        successor(trusted, lambda root: replace_keys(root, "root", [fresh.public_key]), trusted.root_key)


def test_root_that_leaves_one_out_is_refused(trusted: Trusted) -> None:
    root_2 = successor(trusted, lambda _root: None)
    root_3 = next_root(root_2, lambda _root: None, signers=[trusted.root_key], model=MODEL, now=NOW)
    with pytest.raises(Untrusted, match="does not follow"):
        follow(trusted.root, [root_3.content], MODEL)


def test_root_of_another_line_is_refused(trusted: Trusted) -> None:
    with pytest.raises(Untrusted, match="expected a root of kws"):
        read_root(trusted.root.content, "kws")


def test_changed_byte_of_a_root_is_refused(trusted: Trusted) -> None:
    with pytest.raises(Untrusted):
        read_root(trusted.root.content.replace(b'"version":1', b'"version":2'), MODEL)


def named(signer: CryptoSigner, **other: object) -> dict[str, object]:
    """A key as a server names it."""
    return {"keyid": signer.public_key.keyid, "key": signer.public_key.to_dict()} | other


def test_online_key_is_taken_as_the_server_names_it() -> None:
    online = CryptoSigner.generate_ed25519()
    assert key_from_wire(named(online)) == online.public_key


def test_online_key_under_the_id_of_a_publisher_is_refused(trusted: Trusted) -> None:
    """In a root, keys stand under their ids: one that borrows a publisher's would sign lists in that publisher's place."""
    thief = CryptoSigner.generate_ed25519()
    for taken in (trusted.publisher, trusted.root_key):
        with pytest.raises(Untrusted, match="cannot be read"):
            key_from_wire(named(thief, keyid=taken.public_key.keyid))


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": None},
        {"key": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}}},
        {"key": {"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": "x"}}},
        {"keyid": 7},
    ],
)
def test_online_key_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Untrusted, match="cannot be read"):
        key_from_wire(named(CryptoSigner.generate_ed25519()) | wrong)


def test_list_of_a_publisher_is_taken(trusted: Trusted) -> None:
    signed = trusted.sign({"1.0.0/fp32": target()})
    read = read_targets(signed.content, MODEL, [trusted.root])
    assert (read.version, dict(read.targets)) == (2, {"1.0.0/fp32": target()})


def test_list_that_somebody_else_signed_is_refused(trusted: Trusted) -> None:
    thief = CryptoSigner.generate_ed25519()
    forged = sign_targets({"9.9.9/fp32": target("9.9.9")}, version=9, model=MODEL, signer=thief, now=NOW)
    with pytest.raises(Untrusted, match="signed by no publisher that root 1 names"):
        read_targets(forged.content, MODEL, [trusted.root])


def test_list_whose_digest_was_changed_is_refused(trusted: Trusted) -> None:
    signed = trusted.sign({"1.0.0/fp32": target()})
    with pytest.raises(Untrusted, match="signed by no publisher"):
        read_targets(signed.content.replace(b"a" * 64, b"b" * 64), MODEL, [trusted.root])


@pytest.mark.parametrize("targets", [{}, {"1.0.0/fp32": target()}])
def test_list_of_another_line_with_the_same_publisher_is_refused(
    trusted: Trusted, targets: dict[str, TargetFile]
) -> None:
    other = sign_targets(targets, version=5, model="kws", signer=trusted.publisher, now=NOW)
    with pytest.raises(Untrusted, match="another model line"):
        read_targets(other.content, MODEL, [trusted.root])


@pytest.mark.parametrize("wrong", [target(model="kws"), target("2.0.0"), target(variant="int8")])
def test_target_that_says_it_is_another_one_is_refused(trusted: Trusted, wrong: TargetFile) -> None:
    signed = trusted.sign({"1.0.0/fp32": wrong})
    with pytest.raises(Untrusted, match="says of itself that it is another one"):
        read_targets(signed.content, MODEL, [trusted.root])


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"not json", b'{"signed": {}, "signatures": []}'])
def test_what_is_no_metadata_is_refused_with_a_sentence(trusted: Trusted, content: bytes) -> None:
    with pytest.raises(Untrusted):
        read_targets(content, MODEL, [trusted.root])
    with pytest.raises(Untrusted):
        read_root(content, MODEL)


def test_facts_are_canonical_json_without_a_float() -> None:
    facts = SignedFacts(
        MODEL, "1.0.0", "int8", LocalFile("a" * 64, 10), LocalFile("c" * 64, 2), LocalFile("d" * 64, 3),
        tolerances={"atol": 1e-07, "min_agreement": 0.98}, limits={"p50_latency_ns": 5}, device_classes=["pi5", "pi4"],
        is_downgrade_allowed=True,
    )  # fmt: skip
    assert facts.as_target().custom == {
        "model": "digits",
        "version": "1.0.0",
        "variant": "int8",
        "contract": {"sha256": "c" * 64, "size_bytes": 2},
        "sample_set": {"sha256": "d" * 64, "size_bytes": 3},
        "tolerances": {"atol": "1e-07", "min_agreement": "0.98"},
        "limits": {"p50_latency_ns": 5},
        "device_classes": ["pi4", "pi5"],
        "downgrade": True,
    }
    plain = SignedFacts(MODEL, "1.0.0", "fp32", LocalFile("a" * 64, 10), LocalFile("c" * 64, 2)).as_target().custom
    assert set(plain) == {"model", "version", "variant", "contract"}


@pytest.mark.parametrize("value", [0.1, 1e-12, 0.98, 3.0, 1e22, 1.2345678901234567e-05])
def test_decimal_text_reads_back_as_the_same_number(value: float) -> None:
    assert float(decimal_text(value)) == value
    assert "+" not in decimal_text(value)


def live_versions(number: int, variants: tuple[str, ...] = ("fp32", "int8")) -> dict[str, TargetFile]:
    made = [target(f"1.{minor}.0", variant) for minor in range(number) for variant in variants]
    return {one.path: one for one in made}


def test_full_list_makes_room_by_whole_versions_oldest_publication_first() -> None:
    live = live_versions(16)
    order = ["1.3.0", *(f"1.{minor}.0" for minor in range(16) if minor != 3)]
    wanted, archived = with_target(live, target("2.0.0"), oldest_first=order)
    assert archived == ["1.3.0"]
    assert set(wanted) == set(live) - {"1.3.0/fp32", "1.3.0/int8"} | {"2.0.0/fp32"}


def test_version_that_grows_is_not_archived_for_itself() -> None:
    live = live_versions(16)
    wanted, archived = with_target(live, target("1.0.0", "fp16"), oldest_first=[f"1.{n}.0" for n in range(16)])
    assert archived == ["1.1.0"]
    assert {"1.0.0/fp32", "1.0.0/int8", "1.0.0/fp16"} <= set(wanted)


def test_list_that_is_not_full_loses_nothing() -> None:
    live = live_versions(15)
    wanted, archived = with_target(live, target("2.0.0"), oldest_first=["1.0.0"])
    assert (len(wanted), archived) == (31, [])


def test_one_version_that_is_too_many_alone_is_refused() -> None:
    live = {f"1.0.0/v{number}": target(variant=f"v{number}") for number in range(MAX_TARGETS)}
    with pytest.raises(ConfigError, match="would be number 33"):
        with_target(live, target("1.0.0", "one-more"), oldest_first=["1.0.0"])


def test_withdrawn_version_takes_all_its_variants_and_no_other() -> None:
    live = {one.path: one for one in (target("1.0.0"), target("1.0.0", "int8"), target("1.0.01"), target("1.0"))}
    assert set(without_version(live, "1.0.0")) == {"1.0.01/fp32", "1.0/fp32"}


def test_differences_are_told_by_target() -> None:
    before = {one.path: one for one in (target("1.0.0"), target("1.1.0"))}
    after = {one.path: one for one in (target("1.1.0", digest="e" * 64), target("6.6.6"))}
    assert differences(before, after) == [
        "added: 6.6.6/fp32 (aaaaaaaaaaaa, 10 bytes)",
        "changed: 1.1.0/fp32 (eeeeeeeeeeee, 10 bytes)",
        "removed: 1.0.0/fp32 (aaaaaaaaaaaa, 10 bytes)",
    ]


def test_versions_are_ordered_by_publication_and_drafts_left_out() -> None:
    rows: list[dict[str, str | None]] = [
        {"version": "2.0.0", "published_at": "2026-01-01T00:00:00Z"},
        {"version": "1.9.0", "published_at": "2026-03-01T00:00:00Z"},
        {"version": "3.0.0", "published_at": None},
    ]
    assert oldest_versions(rows) == ["2.0.0", "1.9.0"]


def test_metadata_is_compact_and_says_when_it_ends(trusted: Trusted) -> None:
    signed = trusted.sign({"1.0.0/fp32": target()}).content
    assert b" " not in signed
    document = json.loads(signed)["signed"]
    life = datetime.fromisoformat(document["expires"]) - NOW
    assert timedelta(days=27) < life < timedelta(days=29)
    assert timedelta(days=364) < trusted.root.expires_at - NOW < timedelta(days=366)
