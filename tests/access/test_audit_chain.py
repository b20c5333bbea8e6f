"""The audit record: nobody changes it, everybody can see that it is whole, and no secret is in it."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from access import tokens
from access.actors import SYSTEM, Actor
from access.addresses import Origin, work_from
from access.audit.chain import EMPTY, Head, digest_of, head, links, seal_records, verify
from access.audit.models import AuditRecord, AuditSeal
from access.audit.recording import record_audit
from access.audit.values import plain
from access.models import Role

ANNA = Actor("person", "anna", "anna")
TRIGGERS = import_module("access.migrations.0002_audit_is_append_only_and_chained")


def record(subject: str = "digits/1.1.0", **values: Any) -> AuditRecord:
    record_audit(actor=ANNA, action="yank_version", subject=subject, **values)
    newest = AuditRecord.objects.first()
    assert newest is not None
    return newest


def sealed(count: int) -> None:
    for number in range(count):
        record(f"digits/1.0.{number}", before={"state": "published"}, after={"state": "yanked"})
    seal_records()


def tampered(statement: str, values: list[Any]) -> None:
    """What somebody with the database's password can do: past the triggers."""
    with connection.cursor() as cursor:
        for one in TRIGGERS.REMOVE[connection.vendor]:
            cursor.execute(one)
        cursor.execute(statement, values)
        for one in TRIGGERS.ADD[connection.vendor]:
            cursor.execute(one)


@pytest.mark.django_db
def test_record_says_who_what_before_after_and_from_where() -> None:
    with work_from(Origin("198.51.100.4", "req-1")):
        written = record(before={"state": "published"}, after={"state": "yanked"}, detail={"reason": "wrong labels"})
    read = AuditRecord.objects.get(pk=written.pk)
    assert (read.actor, read.actor_name, read.action, read.subject) == (
        "person:anna", "anna", "yank_version", "digits/1.1.0",
    )  # fmt: skip
    assert (read.before, read.after) == ({"state": "published"}, {"state": "yanked"})
    assert read.detail == {"reason": "wrong labels"}
    assert (read.address, read.request_id) == ("198.51.100.4", "req-1")
    assert timezone.now() - read.at < timedelta(minutes=1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "act",
    [
        lambda row: row.save(),
        lambda row: row.delete(),
        lambda row: type(row).objects.filter(pk=row.pk).update(pk=row.pk + 1000),
        lambda row: type(row).objects.all().delete(),
    ],
    ids=["save", "delete", "update of many", "delete of many"],
)
def test_model_refuses_to_change_a_record_or_a_seal(act: Callable[[Any], object]) -> None:
    sealed(1)
    for row in (AuditRecord.objects.get(), AuditSeal.objects.get()):
        with pytest.raises(RuntimeError, match="append-only"):
            act(row)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_auditrecord SET actor = 'person:eve'",
        "DELETE FROM access_auditrecord",
        "UPDATE access_auditseal SET sha256 = ''",
        "DELETE FROM access_auditseal",
    ],
)
def test_database_refuses_to_change_a_record_or_a_seal(statement: str) -> None:
    sealed(2)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditRecord.objects.filter(actor="person:anna").count() == AuditSeal.objects.exclude(sha256="").count() == 2


@pytest.mark.django_db
def test_postgresql_refuses_to_truncate() -> None:
    if connection.vendor != "postgresql":
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("TRUNCATE access_auditseal")  # SQLite has no such word at all
        return
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE access_auditrecord CASCADE")


@pytest.mark.django_db(transaction=True)
def test_record_is_sealed_right_after_the_commit_and_not_before() -> None:
    with transaction.atomic():
        record()
        record()
        assert AuditSeal.objects.count() == 0
    assert list(AuditSeal.objects.values_list("position", flat=True)) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_change_that_is_rolled_back_leaves_no_record_and_no_gap() -> None:
    record()
    with transaction.atomic():
        record()
        transaction.set_rollback(True)
    record()
    assert [link.position for link in links()] == [1, 2]
    assert verify().breaks == []


@pytest.mark.django_db(transaction=True)
def test_change_stands_and_the_worker_seals_where_sealing_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("access.audit.chain._hold_head", lambda: 1 / 0)
        record()
    assert (AuditRecord.objects.count(), head()) == (1, EMPTY)
    assert seal_records() == 1
    assert verify().waiting == 0


@pytest.mark.django_db(transaction=True)
def test_many_writers_at_once_make_one_chain() -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(10):
                with transaction.atomic():
                    record_audit(actor=ANNA, action="yank_version", subject="digits/1.1.0")
                    record_audit(actor=ANNA, action="add_variant", subject="digits/1.1.0 fp32")
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    found = verify()
    assert (found.head.position, found.breaks, found.waiting) == (120, [], 0)


@pytest.mark.django_db
def test_chain_of_several_batches_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("access.audit.chain.BATCH", 3)
    sealed(8)
    assert [link.position for link in links(first=3)] == [3, 4, 5, 6, 7, 8]
    assert verify(kept=head()).breaks == []


@pytest.mark.django_db
def test_digest_is_the_documented_one() -> None:
    """By hand, as docs/audit.md says it."""
    with work_from(Origin("198.51.100.4", "req-1")):
        written = record("modèle", before=None, after={"b": 1, "a": [True, None, "ü"]})
    seal_records()
    (link,) = links()
    at = written.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    text = (
        '{"position":1,"previous_sha256":"' + "0" * 64 + '","record":{"action":"yank_version","actor":"person:anna",'
        '"actor_name":"anna","address":"198.51.100.4","after":{"a":[true,null,"ü"],"b":1},"at":"' + at + '",'
        f'"before":null,"detail":{{}},"id":{written.pk},"request_id":"req-1","subject":"modèle"}}}}'
    )
    import hashlib

    assert link.sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE access_auditrecord SET actor = 'person:eve' WHERE subject = 'digits/1.0.2'", r"position 3 \(record \d+\) was changed"),
        ("DELETE FROM access_auditseal WHERE position = 3", "position 4 follows 2: what stood between was taken out"),
        ("UPDATE access_auditseal SET previous_sha256 = 'x' WHERE position = 3", "position 3 continues another chain"),
    ],
)  # fmt: skip
def test_tampering_is_found_and_named(statement: str, words: str) -> None:
    sealed(5)
    tampered(statement, [])
    with pytest.raises(CommandError, match=words):
        call_command("verify_audit")


@pytest.mark.django_db
def test_end_that_was_cut_off_and_chain_made_anew_are_found_with_a_kept_head() -> None:
    sealed(5)
    kept = head()
    tampered("DELETE FROM access_auditseal WHERE position >= 4", [])
    assert verify().breaks == []
    assert "its end was cut off" in verify(kept=kept).breaks[0]
    tampered("UPDATE access_auditrecord SET actor = 'person:eve' WHERE subject = 'digits/1.0.4'", [])
    seal_records()
    assert verify().breaks == []
    with pytest.raises(CommandError, match="the chain was made anew"):
        call_command("verify_audit", f"--head={kept}")


@pytest.mark.django_db
def test_command_prints_the_head_and_what_waits() -> None:
    sealed(2)
    record()
    output = StringIO()
    call_command("verify_audit", stdout=output)
    assert "the chain holds: 2 records; 1 records written since wait" in output.getvalue()
    assert f"head: {head()}" in output.getvalue()
    output = StringIO()
    call_command("verify_audit", "--seal", stdout=output)
    assert "the chain holds: 3 records\n" in output.getvalue()


@pytest.mark.django_db
def test_record_that_waits_for_hours_is_a_failure() -> None:
    written = record()
    tampered("UPDATE access_auditrecord SET at = %s WHERE id = %s", [timezone.now() - timedelta(hours=2), written.pk])
    with pytest.raises(CommandError, match="is a worker running"):
        call_command("verify_audit", stdout=StringIO())


def test_head_that_is_none_is_refused() -> None:
    with pytest.raises(CommandError, match="POSITION:SHA256"):
        call_command("verify_audit", "--head=7")


@pytest.mark.parametrize("prefix", [tokens.PERSON_PREFIX, tokens.DEVICE_PREFIX, tokens.ENROLLMENT_PREFIX])
def test_secret_is_cut_to_its_prefix_wherever_it_stands(prefix: str) -> None:
    secret = tokens.new_secret(prefix)
    held = json.dumps(plain({"reason": f"leaked {secret}!", "more": [{secret: "x"}]}))
    assert secret not in held
    assert held.count(f"{prefix}(secret)") == 2


def test_private_key_is_cut_out() -> None:
    assert plain("see -----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY----- here") == "see (secret) here"


def test_values_are_those_of_json_without_floats() -> None:
    moment = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert plain({
        "role": Role.ADMIN, "price": Decimal("0.40"), "rate": 0.25, "at": moment, "id": UUID(int=1), "tags": ("b", "a"), "set": {"b", "a"},
    }) == {
        "role": "admin", "price": "0.40", "rate": "0.25", "at": "2026-11-23T12:00:00+00:00",
        "id": "00000000-0000-0000-0000-000000000001", "tags": ["b", "a"], "set": ["a", "b"],
    }  # fmt: skip
    with pytest.raises(TypeError, match="object"):
        plain(object())


def test_first_digest_stands() -> None:
    """A chain that is kept somewhere must still verify with the next release."""
    assert digest_of(1, EMPTY.sha256, {"id": 1, "actor": SYSTEM.label}) == (
        "ce5cff39b38436eae150ed7ce463257d01a4a2d885c3bacf3d0a0c83e11e7743"
    )
    assert str(Head(1, "a" * 64)) == "1:" + "a" * 64
