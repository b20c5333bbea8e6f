"""Signed roots and targets over the wire: what is kept, what is refused and why, and what follows from it."""

import copy
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient
from tuf.api.metadata import Delegations, Key, Metadata, Root, Snapshot, TargetFile, Timestamp

from access.audit.models import AuditRecord
from registry.models import MetadataFile, Variant
from registry.trust.keys import online_keys
from registry.trust.services import renew_metadata
from tests.factories.registry import make_line, make_variant, make_version, onnx_model, withdraw_version
from tests.factories.trust import SignedLine, in_, new_key, online_keys_of, signed_bytes, target_of
from tests.registry.trust.conftest import Home
from tests.registry.wire import assert_problem, new_signed_line, put_metadata, send, sign_targets

pytestmark = pytest.mark.django_db


def live_names() -> list[str]:
    """The variants that devices may install."""
    return list(Variant.objects.filter(is_live=True).order_by("name").values_list("name", flat=True))


def newest(role: str) -> MetadataFile:
    """The newest file of a role."""
    return MetadataFile.objects.get(role=role, superseded_at=None)


# --- Targets ----------------------------------------------------------------------------------------------------------------------------


def test_accepted_targets_are_live_and_come_with_a_snapshot_and_timestamp_of_them(home: Home) -> None:
    assert live_names() == ["fp32"]
    home.line.refresh_from_db()
    assert home.line.targets_version == 1
    snapshot = Metadata[Snapshot].from_bytes(newest("snapshot").content.encode())
    timestamp = Metadata[Timestamp].from_bytes(newest("timestamp").content.encode())
    assert snapshot.signed.meta["targets.json"].version == 1
    assert timestamp.signed.snapshot_meta.version == 1
    home.signed.root.verify_delegate("snapshot", snapshot.signed_bytes, snapshot.signatures)
    home.signed.root.verify_delegate("timestamp", timestamp.signed_bytes, timestamp.signatures)


def test_next_targets_replace_what_is_live_and_say_so_in_the_audit_record(publisher: APIClient, home: Home) -> None:
    assert sign_targets(publisher, home.signed, target_of(home.int8)).status_code == 201
    assert live_names() == ["int8"]
    assert [newest(role).version for role in ("targets", "snapshot", "timestamp")] == [2, 2, 2]
    record = AuditRecord.objects.filter(action="accept_targets").latest("pk")
    assert (record.subject, record.before, record.after) == ("digits", {"version": 1}, {"version": 2})
    assert (record.detail["added"], record.detail["removed"]) == (["1.0.0/int8"], ["1.0.0/fp32"])


def test_same_targets_again_are_harmless(publisher: APIClient, home: Home) -> None:
    content = newest("targets").content.encode()
    answer = put_metadata(publisher, "digits", "1.targets.json", content)
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert newest("timestamp").version == 1
    assert AuditRecord.objects.filter(action="accept_targets").count() == 1


@pytest.mark.parametrize("version", [1, 3])
def test_targets_that_do_not_follow_the_newest_are_outdated(publisher: APIClient, home: Home, version: int) -> None:
    home.signed.targets.version = version - 1
    assert_problem(sign_targets(publisher, home.signed), 409, "metadata-outdated")


def test_targets_by_a_key_that_the_root_does_not_name_are_refused(publisher: APIClient, home: Home) -> None:
    content = home.signed.next_targets(publishers=[new_key(), *home.signed.root_keys])
    assert_problem(put_metadata(publisher, "digits", "2.targets.json", content), 422, "metadata-unsigned")


def test_targets_that_were_changed_after_signing_are_refused(publisher: APIClient, home: Home) -> None:
    content = home.signed.next_targets().replace(b"1.0.0/fp32", b"1.0.1/fp32")
    assert_problem(put_metadata(publisher, "digits", "2.targets.json", content), 422, "metadata-unsigned")


def test_targets_signed_for_another_address_are_refused(publisher: APIClient, home: Home) -> None:
    home.signed.targets.version = 6
    content = home.signed.next_targets()
    body = assert_problem(put_metadata(publisher, "digits", "2.targets.json", content), 422, "metadata-refused")
    assert "version 7" in body["detail"]


@pytest.mark.parametrize(
    ("life", "taken"),
    [
        (timedelta(days=30, minutes=5), True),  # the publisher's clock is ahead of ours
        (timedelta(days=30, minutes=15), False),
        (timedelta(seconds=-1), False),
        (timedelta(minutes=1), True),
    ],
)
def test_targets_may_live_for_thirty_days_and_no_longer(
    publisher: APIClient, home: Home, life: timedelta, *, taken: bool
) -> None:
    answer = put_metadata(publisher, "digits", "2.targets.json", home.signed.next_targets(life=life))
    if taken:
        assert answer.status_code == 201
    else:
        assert_problem(answer, 422, "metadata-expiry")


def test_targets_below_an_expired_root_are_refused(publisher: APIClient, home: Home) -> None:
    stored = newest("root")
    home.signed.root.expires = in_(timedelta(seconds=-1))
    MetadataFile.objects.filter(pk=stored.pk).update(content=home.signed.root_bytes().decode())
    body = assert_problem(sign_targets(publisher, home.signed), 422, "metadata-expiry")
    assert "sign a new root first" in body["detail"]


@pytest.mark.parametrize(("count", "slug"), [(32, None), (33, "too-many-targets")])
def test_at_most_32_targets_are_live(publisher: APIClient, home: Home, count: int, slug: str | None) -> None:
    version = make_version(home.line, "2.0.0")
    variants = [
        make_variant(version, f"rung-{number}", content=onnx_model(100 + number), is_live=False)
        for number in range(count)
    ]
    answer = sign_targets(publisher, home.signed, *map(target_of, variants))
    if slug is None:
        assert answer.status_code == 201
        assert len(live_names()) == count
    else:
        assert_problem(answer, 422, slug)


def test_delegations_are_refused(publisher: APIClient, home: Home) -> None:
    home.signed.targets.delegations = Delegations({}, {})
    assert_problem(sign_targets(publisher, home.signed), 422, "metadata-refused")


def _custom(change: dict[str, Any]) -> Callable[[TargetFile], None]:
    def apply(target: TargetFile) -> None:
        target.unrecognized_fields["custom"].update(change)

    return apply


def _set(**fields: Any) -> Callable[[TargetFile], None]:
    def apply(target: TargetFile) -> None:
        for name, value in fields.items():
            setattr(target, name, value)

    return apply


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set(length=1), "length is 1"),
        (_set(hashes={"sha256": "0" * 64}), "hashes is"),
        (_set(hashes={"sha512": "0" * 128}), "hashes is"),
        (_set(path="1.0.0/nothing"), "is no variant"),
        (_set(path="1.0.0"), "is no variant"),
        (_set(path="1.0\0/fp32"), "is no variant"),
        (_set(path="1.0.0/int8"), "variant is 'fp32', not 'int8'"),
        (_set(unrecognized_fields={}), "custom is missing"),
        (_set(unrecognized_fields={"custom": [1]}), "custom is missing"),
        (_custom({"version": "9.9.9"}), "version is '9.9.9'"),
        (_custom({"contract": {"sha256": "0" * 64, "size_bytes": 1}}), "contract is"),
        (_custom({"contract": None}), "contract is None"),
        (_custom({"sample_set": {"sha256": "0" * 64, "size_bytes": 1}}), "sample_set is"),
        (_custom({"tolerances": {"atol": "0.5"}}), "tolerances is"),
        (_custom({"tolerances": {"atol": 1}}), "tolerances is"),
        (_custom({"tolerances": "loose"}), "tolerances is"),
        (_custom({"limits": {"p50_latency_ns": 0}}), "limits must be"),
        (_custom({"limits": {"p50_latency_ns": True}}), "limits must be"),
        (_custom({"limits": {"anything": 1}}), "limits must be"),
        (_custom({"limits": []}), "limits must be"),
        (_custom({"device_classes": []}), "device_classes must be"),
        (_custom({"device_classes": ["x" * 65]}), "device_classes must be"),
        (_custom({"device_classes": "pi4"}), "device_classes must be"),
        (_custom({"downgrade": "yes"}), "downgrade must be"),
        (_custom({"downgrade": False}), "downgrade must be"),
    ],
)
def test_target_that_is_not_what_the_registry_has_is_refused_with_every_difference(
    publisher: APIClient, home: Home, change: Callable[[TargetFile], None], said: str
) -> None:
    target = target_of(home.fp32)
    change(target)
    body = assert_problem(sign_targets(publisher, home.signed, target), 422, "metadata-differs")
    assert said in " ".join(error["message"] for error in body["errors"])
    assert live_names() == ["fp32"]
    assert newest("targets").version == 1


def test_tolerances_agree_as_numbers_and_not_as_texts(publisher: APIClient, home: Home) -> None:
    Variant.objects.filter(pk=home.fp32.pk).update(tolerances={"atol": 1e-05, "rtol": 0.1, "min_agreement": None})
    target = target_of(home.fp32)
    target.unrecognized_fields["custom"]["tolerances"] = {"atol": "0.00001", "rtol": "1e-1"}
    assert sign_targets(publisher, home.signed, target).status_code == 201


@pytest.mark.parametrize("text", ["nan", "+1", "-1", " 1", "1.", "0_1", "\u0661", "1" * 40, "0x1"])
def test_text_that_is_no_decimal_number_is_no_tolerance(publisher: APIClient, home: Home, text: str) -> None:
    Variant.objects.filter(pk=home.fp32.pk).update(tolerances={"atol": 1.0})
    target = target_of(home.fp32, tolerances={"atol": text})
    assert_problem(sign_targets(publisher, home.signed, target), 422, "metadata-differs")


def test_what_only_devices_read_is_signed_too(publisher: APIClient, home: Home) -> None:
    limits = {"p50_latency_ns": 5_000_000, "peak_memory_bytes": 64_000_000}
    target = target_of(home.fp32, limits=limits, device_classes=["pi4", "pi5"], downgrade=True, later="ignored")
    assert sign_targets(publisher, home.signed, target).status_code == 201


@pytest.mark.parametrize("named", [{}, {"model": "words"}])
def test_list_that_does_not_name_its_line_is_refused_even_when_it_is_empty(
    publisher: APIClient, home: Home, named: dict[str, str]
) -> None:
    home.signed.targets.unrecognized_fields = dict(named)
    assert_problem(sign_targets(publisher, home.signed), 422, "wrong-model-line")
    home.signed.targets.version = 1
    assert_problem(sign_targets(publisher, home.signed, target_of(home.fp32)), 422, "wrong-model-line")


def test_variant_of_another_line_or_of_a_yanked_version_is_no_target(publisher: APIClient, home: Home) -> None:
    other = make_variant(make_version(make_line("words"), "3.0.0"), content=onnx_model(7), is_live=False)
    gone = make_variant(make_version(home.line, "0.9.0"), content=onnx_model(8), is_live=False)
    withdraw_version(gone.version)
    body = assert_problem(sign_targets(publisher, home.signed, target_of(gone)), 422, "metadata-differs")
    assert body["errors"] == [
        {"field": "0.9.0/fp32", "message": "is no variant of this model line, or its version was yanked"}
    ]
    home.signed.targets.version = 1
    assert_problem(sign_targets(publisher, home.signed, target_of(other)), 422, "wrong-model-line")


def test_targets_of_a_line_without_a_root_are_refused(publisher: APIClient) -> None:
    make_line()
    signed = SignedLine("digits", online_keys().public())
    assert_problem(sign_targets(publisher, signed), 404, "no-trust")
    assert_problem(put_metadata(publisher, "none", "1.targets.json", b"{}"), 404, "not-found")


# --- Files that are none ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"", 422, "metadata-refused"),
        (b"{}", 422, "metadata-refused"),
        (b"[" * 100_000, 422, "metadata-refused"),
        (b"\xff\xfe", 422, "metadata-refused"),
        (b'{"signed": {"_type": "\\ud800"}, "signatures": []}', 422, "metadata-refused"),
        (b'{"signed": {"_type": "targets", "version": ' + b"9" * 5_000 + b"}}", 422, "metadata-refused"),
        (b" " * 128_001, 413, "metadata-too-large"),
        (b" " * 3_000_000, 413, "metadata-too-large"),
    ],
)
def test_bytes_that_are_no_metadata_are_refused(
    publisher: APIClient, home: Home, content: bytes, status: int, slug: str
) -> None:
    assert_problem(put_metadata(publisher, "digits", "2.targets.json", content), status, slug)


def test_numbers_that_canonical_json_has_not_are_refused(publisher: APIClient, home: Home) -> None:
    content = json.loads(home.signed.next_targets())
    content["signed"]["targets"]["1.0.0/fp32"]["custom"]["score"] = 0.5
    answer = put_metadata(publisher, "digits", "2.targets.json", json.dumps(content).encode())
    assert_problem(answer, 422, "metadata-refused")


def test_root_in_the_place_of_targets_is_refused(publisher: APIClient, home: Home) -> None:
    content = home.signed.root_bytes()
    body = assert_problem(put_metadata(publisher, "digits", "2.targets.json", content), 422, "metadata-refused")
    assert "root metadata, not targets" in body["detail"]


@pytest.mark.parametrize(
    "name",
    [
        "timestamp.json",
        "2.snapshot.json",
        "0.root.json",
        "01.root.json",
        "root.json",
        "1.root.json.bak",
        "9999999999.root.json",
    ],
)
def test_only_roots_and_targets_are_taken(publisher: APIClient, home: Home, name: str) -> None:
    assert_problem(put_metadata(publisher, "digits", name, b"{}"), 404, "not-found")


# --- Roots ------------------------------------------------------------------------------------------------------------------------------


def test_first_root_is_kept_and_is_the_same_again(publisher: APIClient) -> None:
    make_line()
    signed = new_signed_line(publisher)
    again = put_metadata(publisher, "digits", "1.root.json", signed.root_bytes())
    assert (again.status_code, again.json()["version"]) == (200, 1)
    other = SignedLine("digits", signed.online)
    assert_problem(put_metadata(publisher, "digits", "1.root.json", other.root_bytes()), 409, "metadata-outdated")
    assert newest("root").content.encode() == signed.root_bytes()
    record = AuditRecord.objects.get(action="accept_root")
    assert record.after is not None
    assert record.after["roles"]["targets"]["keyids"] == [signed.publishers[0].public_key.keyid]


def _second_key(root: Root) -> None:
    root.roles["root"].threshold = 2


def _no_snapshots(root: Root) -> None:
    root.consistent_snapshot = False


def _other_line(root: Root) -> None:
    root.unrecognized_fields["model"] = "words"


def _same_hands(root: Root) -> None:
    root.roles["targets"].keyids.append(root.roles["root"].keyids[0])


def _server_publishes(root: Root) -> None:
    root.roles["targets"].keyids.append(root.roles["timestamp"].keyids[0])


def _one_key_twice(root: Root) -> None:
    (keyid,) = root.roles["root"].keyids
    alias = copy.deepcopy(root.keys[keyid])
    alias.keyid = "ab" * 32
    root.add_key(alias, "root")


def _too_late(root: Root) -> None:
    root.expires = in_(timedelta(days=401))


def _one_key_in_two_spellings(root: Root) -> None:
    (keyid,) = root.roles["root"].keyids
    spelled = {**root.keys[keyid].to_dict(), "keyval": {"public": root.keys[keyid].keyval["public"].upper()}}
    root.add_key(Key.from_dict("ab" * 32, spelled), "root")


def _over(root: Root) -> None:
    root.expires = in_(timedelta(days=-1))


def _foreign_server(root: Root) -> None:
    SignedLine.name_online_keys(root, online_keys_of(new_key(), new_key()))


def _two_servers(root: Root) -> None:
    root.add_key(new_key().public_key, "timestamp")
    root.roles["timestamp"].threshold = 2


def _keyless(root: Root) -> None:
    root.roles["targets"].keyids.append("cd" * 32)


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        (_second_key, 422, "metadata-unsigned"),
        (_no_snapshots, 422, "metadata-refused"),
        (_other_line, 422, "wrong-model-line"),
        (_same_hands, 422, "metadata-refused"),
        (_server_publishes, 422, "metadata-refused"),
        (_one_key_twice, 422, "metadata-refused"),
        (_one_key_in_two_spellings, 422, "metadata-refused"),
        (_keyless, 422, "metadata-refused"),
        (_too_late, 422, "metadata-expiry"),
        (_over, 422, "metadata-expiry"),
        (_foreign_server, 409, "online-keys-differ"),
        (_two_servers, 409, "online-keys-differ"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_root_that_may_not_be_is_refused(
    publisher: APIClient, change: Callable[[Root], None], status: int, slug: str, *, first: bool
) -> None:
    make_line()
    signed = SignedLine("digits", online_keys().public())
    if first:
        change(signed.root)
        content = signed.root_bytes()
    else:
        assert put_metadata(publisher, "digits", "1.root.json", signed.root_bytes()).status_code == 201
        content = signed.next_root(change)
    assert_problem(put_metadata(publisher, "digits", f"{1 if first else 2}.root.json", content), status, slug)
    assert MetadataFile.objects.count() == (0 if first else 1)


@pytest.mark.parametrize(
    ("keytype", "scheme"), [("rsa", "pgp+rsa-pkcsv1.5"), ("dsa", "pgp+dsa-fips-180-2"), ("eddsa", "pgp+eddsa-ed25519")]
)
def test_signature_by_another_kind_of_key_is_never_looked_at(publisher: APIClient, keytype: str, scheme: str) -> None:
    make_line()
    signed = SignedLine("digits", online_keys().public())
    document = json.loads(signed.root_bytes())
    (keyid,) = signed.root.roles["root"].keyids
    document["signed"]["keys"][keyid] = {"keytype": keytype, "scheme": scheme, "keyval": {"public": {"e": "3"}}}
    content = json.dumps(document).encode()
    assert_problem(put_metadata(publisher, "digits", "1.root.json", content), 422, "metadata-refused")


def test_root_signed_by_its_own_keys_alone_does_not_follow(publisher: APIClient, home: Home) -> None:
    thief = SignedLine("digits", home.signed.online)
    thief.root.version = 2
    body = assert_problem(
        put_metadata(publisher, "digits", "2.root.json", thief.root_bytes()), 422, "metadata-unsigned"
    )
    assert re.search("0 of 1 signatures of the root before it and 1 of 1 of its own", body["detail"])


def test_root_signed_by_the_old_keys_alone_does_not_follow(publisher: APIClient, home: Home) -> None:
    old = home.signed.root_keys
    home.signed.next_root(root_keys=[new_key()])
    content = signed_bytes(home.signed.root, old)
    assert_problem(put_metadata(publisher, "digits", "2.root.json", content), 422, "metadata-unsigned")


def test_new_root_keys_take_over(publisher: APIClient, home: Home) -> None:
    content = home.signed.next_root(root_keys=[new_key()])
    assert put_metadata(publisher, "digits", "2.root.json", content).status_code == 201
    assert live_names() == ["fp32"]
    assert newest("timestamp").version == 1  # nothing that the online keys sign has changed
    assert put_metadata(publisher, "digits", "3.root.json", home.signed.next_root()).status_code == 201


def test_second_publisher_leaves_what_is_live(publisher: APIClient, home: Home) -> None:
    second = new_key()
    content = home.signed.next_root(lambda root: root.add_key(second.public_key, "targets"))
    assert put_metadata(publisher, "digits", "2.root.json", content).status_code == 201
    assert live_names() == ["fp32"]
    assert newest("snapshot").version == 2
    content = home.signed.next_targets(map(target_of, [home.fp32, home.int8]), publishers=[second])
    assert put_metadata(publisher, "digits", "2.targets.json", content).status_code == 201
    assert live_names() == ["fp32", "int8"]


def test_nothing_is_live_after_a_revocation_until_a_publisher_signs_again(
    publisher: APIClient, viewer: APIClient, home: Home
) -> None:
    stolen, fresh = home.signed.publishers[0], new_key()

    def replace(root: Root) -> None:
        root.revoke_key(stolen.public_key.keyid, "targets")
        root.add_key(fresh.public_key, "targets")

    assert put_metadata(publisher, "digits", "2.root.json", home.signed.next_root(replace)).status_code == 201
    assert live_names() == []
    targets = send(viewer, "GET", "/models/digits/metadata").json()["targets"]
    assert (targets["live"], targets["needs_signing"]) == ([], True)

    refused = put_metadata(publisher, "digits", "2.targets.json", home.signed.next_targets())
    assert_problem(refused, 422, "metadata-unsigned")
    home.signed.publishers, home.signed.targets.version = [fresh], 1
    assert sign_targets(publisher, home.signed, target_of(home.fp32)).status_code == 201
    assert live_names() == ["fp32"]


def test_version_yanked_while_nothing_was_live_does_not_come_back_with_an_old_key(
    publisher: APIClient, home: Home
) -> None:
    (key,) = home.signed.publishers
    fresh = new_key()

    def swap(old: Any, new: Any) -> Callable[[Root], None]:
        def change(root: Root) -> None:
            root.revoke_key(old.public_key.keyid, "targets")
            root.add_key(new.public_key, "targets")

        return change

    assert put_metadata(publisher, "digits", "2.root.json", home.signed.next_root(swap(key, fresh))).status_code == 201
    withdraw_version(home.fp32.version)
    assert put_metadata(publisher, "digits", "3.root.json", home.signed.next_root(swap(fresh, key))).status_code == 201
    assert live_names() == []


# --- The server's own keys change -------------------------------------------------------------------------------------------------------


def test_new_online_keys_sign_once_a_root_names_them(
    publisher: APIClient, home: Home, settings: Any, tmp_path: Any
) -> None:
    settings.SMALLFLEET_KEYS = str(tmp_path / "other")
    fresh = send(publisher, "GET", "/trust/online-keys").json()
    assert fresh["timestamp"]["keyid"] != home.signed.online["timestamp"]["keyid"]
    body = assert_problem(sign_targets(publisher, home.signed), 409, "online-keys-differ")
    assert fresh["snapshot"]["keyid"] in body["detail"]

    content = home.signed.next_root(lambda root: SignedLine.name_online_keys(root, fresh))
    assert put_metadata(publisher, "digits", "2.root.json", content).status_code == 201
    for role, version in (("snapshot", 2), ("timestamp", 2)):
        stored = newest(role)
        metadata: Metadata[Any] = Metadata.from_bytes(stored.content.encode())
        home.signed.root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        assert stored.version == version
    home.signed.targets.version = 1
    assert sign_targets(publisher, home.signed).status_code == 201


def test_renewal_goes_on_for_other_lines_where_one_does_not_name_the_keys(
    publisher: APIClient, home: Home, settings: Any, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SMALLFLEET_KEYS = str(tmp_path / "other")
    words = make_line("words")
    variant = make_variant(make_version(words), content=onnx_model(5), is_live=False)
    assert sign_targets(publisher, new_signed_line(publisher, "words"), target_of(variant)).status_code == 201
    MetadataFile.objects.filter(role="timestamp").update(expires_at=timezone.now())
    assert renew_metadata() == 1
    assert newest_of("words").version == 2
    assert newest_of("digits").version == 1
    (record,) = [record for record in caplog.records if record.message == "metadata_not_renewed"]
    assert (record.__dict__["model"], record.__dict__["problem"]) == ("digits", "online-keys-differ")


def newest_of(line: str, role: str = "timestamp") -> MetadataFile:
    """The newest file of a line's role."""
    return MetadataFile.objects.get(model_line__name=line, role=role, superseded_at=None)


# --- Renewal ----------------------------------------------------------------------------------------------------------------------------


def test_nothing_is_renewed_before_its_time(home: Home) -> None:
    assert renew_metadata() == 0


def test_timestamp_is_renewed_once_a_day_and_alone(home: Home) -> None:
    stored = newest("timestamp")
    MetadataFile.objects.filter(pk=stored.pk).update(expires_at=stored.expires_at - timedelta(hours=23))
    assert renew_metadata() == 0
    MetadataFile.objects.filter(pk=stored.pk).update(expires_at=stored.expires_at - timedelta(hours=25))
    assert renew_metadata() == 1
    assert renew_metadata() == 0
    assert (newest("timestamp").version, newest("snapshot").version, newest("targets").version) == (2, 1, 1)
    assert abs(newest("timestamp").expires_at - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)
    home.line.refresh_from_db()
    assert home.line.targets_version == 1
    record = AuditRecord.objects.get(action="renew_metadata")
    assert (record.actor, record.subject) == ("system", "digits")
    assert record.detail == {"timestamp": 2, "snapshot": 1}


def test_snapshot_is_renewed_after_a_third_of_its_life_and_takes_the_timestamp_along(home: Home) -> None:
    MetadataFile.objects.filter(role="snapshot").update(expires_at=timezone.now() + timedelta(days=19))
    assert renew_metadata() == 1
    assert (newest("timestamp").version, newest("snapshot").version) == (2, 2)
    assert abs(newest("snapshot").expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_superseded_files_are_kept_for_clients_under_way_and_then_removed_but_never_roots(
    publisher: APIClient, viewer: APIClient, home: Home
) -> None:
    assert sign_targets(publisher, home.signed, target_of(home.int8)).status_code == 201
    assert put_metadata(publisher, "digits", "2.root.json", home.signed.next_root()).status_code == 201
    assert send(viewer, "GET", "/models/digits/metadata/1.targets.json").status_code == 200
    assert send(viewer, "GET", "/models/digits/metadata/1.snapshot.json").status_code == 200
    renew_metadata()
    assert MetadataFile.objects.count() == 2 + 2 + 2 + 2
    superseded = MetadataFile.objects.exclude(superseded_at=None)
    superseded.update(superseded_at=timezone.now() - timedelta(minutes=61))
    renew_metadata()
    assert sorted(MetadataFile.objects.values_list("role", "version")) == [
        ("root", 1), ("root", 2), ("snapshot", 2), ("targets", 2), ("timestamp", 2),
    ]  # fmt: skip


# --- Reading ----------------------------------------------------------------------------------------------------------------------------


def test_files_are_served_byte_by_byte_as_they_were_signed(viewer: APIClient, home: Home) -> None:
    for name, content in (
        ("1.root.json", home.signed.root_bytes()),
        ("1.targets.json", newest("targets").content.encode()),
    ):
        answer = send(viewer, "GET", f"/models/digits/metadata/{name}")
        assert (answer.content, answer["Content-Type"]) == (content, "application/json")
        assert "immutable" in answer["Cache-Control"]
    timestamp = send(viewer, "GET", "/models/digits/metadata/timestamp.json")
    assert timestamp.content.decode() == newest("timestamp").content
    assert timestamp["Cache-Control"] == "no-cache"
    for missing in ("2.root.json", "2.targets.json", "1.timestamp.json", "root.json", "..%2Froot.json"):
        assert_problem(send(viewer, "GET", f"/models/digits/metadata/{missing}"), 404, "not-found")


def test_news_are_what_the_asker_lacks(publisher: APIClient, viewer: APIClient, home: Home) -> None:
    def news(**have: int) -> Any:
        query = "&".join(f"{role}={version}" for role, version in have.items())
        return send(viewer, "GET", f"/models/digits/metadata/news?{query}")

    have = {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}
    assert (news(**have).status_code, news(**have).content) == (204, b"")
    everything = {"timestamp", "snapshot", "targets"}
    whole = news().json()
    assert whole["roots"] == [home.signed.root_bytes().decode()]
    assert {role: whole[role] for role in everything} == {role: newest(role).content for role in everything}

    MetadataFile.objects.filter(role="timestamp").update(expires_at=timezone.now())
    renew_metadata()
    assert news(**have).json() == {"roots": [], "timestamp": newest("timestamp").content}

    sign_targets(publisher, home.signed, target_of(home.int8))
    told = news(**have | {"timestamp": 2}).json()
    assert set(told) == {"roots"} | everything
    assert told["roots"] == []
    # Whoever is ahead of this server (it was restored, or another one is behind its address) shall see that.
    assert set(news(root=1, timestamp=99, snapshot=2, targets=2).json()) == {"roots", "timestamp"}

    for version in (2, 3):
        put_metadata(publisher, "digits", f"{version}.root.json", home.signed.next_root())
    latest = {"timestamp": newest("timestamp").version, "snapshot": newest("snapshot").version, "targets": 2}
    behind = news(root=1, **latest).json()
    assert [json.loads(text)["signed"]["version"] for text in behind["roots"]] == [2, 3]
    assert set(behind) == {"roots"} | everything  # under new keys an equal number need not be an equal file
    assert news(root=3, **latest).status_code == 204


def test_news_cost_one_query_after_who_asks(
    viewer: APIClient, home: Home, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    from registry.trust.queries import news_since

    with django_assert_num_queries(1):
        assert news_since("digits", root=1, timestamp=0, snapshot=0, targets=0)


def test_news_of_nothing_and_of_nonsense(viewer: APIClient, home: Home) -> None:
    make_line("words")
    assert_problem(send(viewer, "GET", "/models/words/metadata/news"), 404, "no-trust")
    assert_problem(send(viewer, "GET", "/models/words/metadata"), 404, "no-trust")
    assert_problem(send(viewer, "GET", "/models/none/metadata/news"), 404, "not-found")
    for query in ("root=-1", "root=x", "targets=1e3", "snapshot=99999999999999999999"):
        assert_problem(send(viewer, "GET", f"/models/digits/metadata/news?{query}"), 400, "invalid-input")


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("identity", False), ("gzip;q=0", False), ("", False)],
)
def test_metadata_is_compressed_for_who_takes_it(
    viewer: APIClient, home: Home, accepted: str, *, compressed: bool
) -> None:
    import gzip

    for path in ("news", "1.targets.json"):
        answer = viewer.get(f"/api/v1/models/digits/metadata/{path}", HTTP_ACCEPT_ENCODING=accepted)
        assert (answer.headers.get("Content-Encoding") == "gzip") is compressed
        assert answer["Content-Length"] == str(len(answer.content))
        body = gzip.decompress(answer.content) if compressed else answer.content
        assert b"1.0.0/fp32" in body


def test_target_is_served_under_its_digest_and_name(viewer: APIClient, home: Home) -> None:
    sha256 = home.fp32.artifact.sha256
    answer = viewer.get(f"/api/v1/models/digits/targets/1.0.0/{sha256}.fp32")
    assert b"".join(answer) == onnx_model(0)
    for wrong in (f"1.0.0/{sha256}.int8", f"1.0.1/{sha256}.fp32", f"1.0.0/{'0' * 64}.fp32", "1.0.0/fp32"):
        assert_problem(viewer.get(f"/api/v1/models/digits/targets/{wrong}"), 404, "not-found")


def test_state_names_roles_keys_and_what_expires_first(viewer: APIClient, home: Home) -> None:
    state = send(viewer, "GET", "/models/digits/metadata").json()
    (publisher_key,) = home.signed.publishers
    keyid = publisher_key.public_key.keyid
    assert state["root"]["roles"]["targets"] == {"threshold": 1, "keyids": [keyid]}
    assert state["root"]["keys"][keyid] == publisher_key.public_key.to_dict()
    assert state["first_root_sha256"] == state["root"]["sha256"] == newest("root").sha256
    assert state["expires_at"] == state["timestamp"]["expires_at"]
    assert state["targets"]["live"] == [
        {"path": "1.0.0/fp32", "sha256": home.fp32.artifact.sha256, "version": "1.0.0", "variant": "fp32"}
    ]


def test_who_may_not_publish_signs_nothing_in(viewer: APIClient, home: Home) -> None:
    for name in ("2.root.json", "2.targets.json"):
        assert_problem(put_metadata(viewer, "digits", name, b"{}"), 403, "permission-refused")
    assert_problem(send(viewer, "GET", "/trust/online-keys"), 403, "permission-refused")
    nobody = APIClient()
    for path in (
        "/trust/online-keys",
        "/models/digits/metadata",
        "/models/digits/metadata/news",
        "/models/digits/metadata/1.root.json",
    ):
        assert_problem(send(nobody, "GET", path), 401, "unauthenticated")
    assert_problem(put_metadata(nobody, "digits", "2.root.json", b"{}"), 401, "unauthenticated")
