"""Patches: wished for once, built once, proved, and offered."""

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from rest_framework.test import APIClient

from access.actors import SYSTEM
from delta import decoder
from delta.encoder import Effort
from registry.children import ChildFailed
from registry.deltas import building, jobs
from registry.deltas.building import LEASE, MAX_TRIES, build_patch, claim_patch, lease_kept
from registry.deltas.formats import BUILT_FORMAT, EFFORTS, MAX_EFFORT_BYTES, default_effort
from registry.deltas.queries import Way, matrix_of, patches_of, way_table, way_tables
from registry.deltas.services import LOST_JOB, request_patches, resume_builds
from registry.models import Artifact, Patch
from registry.services import publish_version
from registry.storage import store as current_store
from tests.factories.registry import make_artifact, make_line, make_patch, make_variant, make_version, onnx_model
from tests.registry.wire import files_in, send

pytestmark = pytest.mark.django_db
State = Patch.State
NEWER = BUILT_FORMAT + 1
ROOT = Path(__file__).parents[2]


@pytest.fixture
def old(db: None) -> Artifact:
    return make_artifact(onnx_model(1, width=400))


@pytest.fixture
def new(db: None) -> Artifact:
    return make_artifact(onnx_model(1, width=400, noise=1e-4))


def _jobs() -> list[int]:
    return [result.args_kwargs["kwargs"]["patch_id"] for result in DBTaskResult.objects.order_by("enqueued_at")]


def _wanted(base: Artifact | None, target: Artifact, **fields: Any) -> Patch:
    return Patch.objects.create(base=base, target=target, patch_format=BUILT_FORMAT, **fields)


@pytest.mark.parametrize("size_bytes", [1, MAX_EFFORT_BYTES, MAX_EFFORT_BYTES + 1])
def test_server_knows_the_efforts_of_the_codec(size_bytes: int) -> None:
    assert tuple(Effort) == EFFORTS
    assert Effort.for_size(size_bytes) == default_effort(size_bytes)


def test_wish_makes_a_delta_per_base_and_one_packed_and_a_job_for_each(
    old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        patches = request_patches(target=new, bases=[old, new])
    assert {(patch.base_id, patch.state) for patch in patches} == {(None, State.WANTED), (old.pk, State.WANTED)}
    assert sorted(_jobs()) == sorted(patch.pk for patch in patches)


def test_wish_again_makes_neither_rows_nor_jobs(
    old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        first = request_patches(target=new, bases=[old])
        second = request_patches(target=new, bases=[old])
    assert [patch.pk for patch in first] == [patch.pk for patch in second]
    assert len(_jobs()) == 2


def test_wish_leaves_what_failed_or_was_useless(
    old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any
) -> None:
    _wanted(old, new, state=State.FAILED)
    _wanted(None, new, state=State.USELESS)
    with django_capture_on_commit_callbacks(execute=True):
        patches = request_patches(target=new, bases=[old])
    assert {patch.state for patch in patches} == {State.FAILED, State.USELESS}
    assert _jobs() == []


def test_only_models_are_bases(new: Artifact) -> None:
    contract = make_artifact(b"{}", "contract")
    assert [patch.base for patch in request_patches(target=new, bases=[contract])] == [None]


def test_delta_is_built_proved_and_restores_the_target(
    old: Artifact, new: Artifact, store: Path, tmp_path: Path
) -> None:
    patch = build_patch(patch_id=_wanted(old, new).pk)
    assert patch is not None
    assert (patch.state, patch.tries, patch.failure) == (State.READY, 1, "")
    assert patch.artifact is not None
    assert patch.artifact.kind == Artifact.Kind.PATCH
    assert patch.size_bytes == patch.artifact.size_bytes < new.size_bytes
    assert patch.effort in {"fast", "max"}
    assert patch.build_s is not None
    assert patch.build_s > 0
    out = tmp_path / "restored"
    with current_store().as_file(old.sha256) as base, current_store().as_file(patch.artifact.sha256) as file:
        decoder.apply(base, file, out)
    assert out.read_bytes() == onnx_model(1, width=400, noise=1e-4)
    assert list((store / "staging").iterdir()) == []


def test_packed_patch_needs_no_base(new: Artifact, tmp_path: Path) -> None:
    patch = build_patch(patch_id=_wanted(None, new).pk)
    assert patch is not None
    assert patch.artifact is not None, patch.failure
    out = tmp_path / "restored"
    with current_store().as_file(patch.artifact.sha256) as file:
        decoder.apply(None, file, out)
    assert out.read_bytes() == onnx_model(1, width=400, noise=1e-4)


def test_patch_that_is_not_smaller_is_useless_and_not_kept(store: Path) -> None:
    noise = make_artifact(os.urandom(5000))
    patch = build_patch(patch_id=_wanted(None, noise).pk)
    assert patch is not None
    assert (patch.state, patch.artifact) == (State.USELESS, None)
    assert patch.size_bytes is not None
    assert patch.size_bytes >= 5000
    assert len(files_in(store)) == 1


def test_delta_that_needs_no_base_is_useless_because_packed_is_the_same(new: Artifact) -> None:
    stranger = make_artifact(os.urandom(3000))
    patch = build_patch(patch_id=_wanted(stranger, new).pk)
    assert patch is not None
    assert patch.state == State.USELESS


def test_build_that_fails_is_tried_three_times_then_given_up(old: Artifact, new: Artifact, store: Path) -> None:
    current_store().delete(old.sha256)
    row = _wanted(old, new)
    states = []
    for _ in range(3):
        patch = build_patch(patch_id=row.pk)
        assert patch is not None
        states.append((patch.state, patch.tries))
    assert states == [(State.WANTED, 1), (State.WANTED, 2), (State.FAILED, 3)]
    row.refresh_from_db()
    assert "FileNotFoundError" in row.failure
    assert build_patch(patch_id=row.pk) is None
    assert list((store / "staging").glob("*")) == []


def test_job_that_failed_is_made_again(old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any) -> None:
    current_store().delete(old.sha256)
    row = _wanted(old, new)
    with django_capture_on_commit_callbacks(execute=True):
        jobs.build_patch.func(row.pk)
    assert _jobs() == [row.pk]


def test_encoder_that_dies_leaves_the_reason_and_no_file(
    old: Artifact, new: Artifact, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_ENCODE_BASE_BYTES", 30 * 1024**2)
    monkeypatch.setattr(building, "_ENCODE_TIMES", 0)
    patch = build_patch(patch_id=_wanted(old, new).pk)
    assert patch is not None
    assert patch.state == State.WANTED
    assert ChildFailed.__name__ in patch.failure
    assert list((store / "staging").iterdir()) == []


def test_patch_for_something_else_is_refused(old: Artifact, new: Artifact) -> None:
    proof = {"target_sha256": old.sha256, "base_sha256": None, "format": BUILT_FORMAT}
    with pytest.raises(building.BuildFailed, match="nobody asked for"):
        building._check_proof(proof, _wanted(None, new))


def test_claim_is_given_once(new: Artifact) -> None:
    row = _wanted(None, new)
    assert claim_patch(patch_id=row.pk) is not None
    assert claim_patch(patch_id=row.pk) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_claim_is_given_once_to_eight_threads(new: Artifact) -> None:
    row = _wanted(None, new)
    start = threading.Barrier(8)
    given: list[bool] = []

    def one() -> None:
        start.wait(10)
        given.append(claim_patch(patch_id=row.pk) is not None)
        connection.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(given) == [False] * 7 + [True]


def _abandoned(target: Artifact, **fields: Any) -> Patch:
    """A patch whose worker was killed just before its lease ran out."""
    claimed_at = timezone.now() - LEASE - timedelta(seconds=1)
    leased_until = claimed_at + LEASE
    return _wanted(None, target, state=State.BUILDING, claimed_at=claimed_at, leased_until=leased_until, **fields)


def test_claim_of_a_dead_worker_is_taken_over(new: Artifact) -> None:
    patch = claim_patch(patch_id=_abandoned(new, tries=1).pk)
    assert patch is not None
    assert patch.tries == 2


def test_dead_worker_is_missed_within_minutes_whatever_the_encoder_may_take() -> None:
    assert timedelta(seconds=4 * building.BEAT_S) < LEASE < timedelta(minutes=5)


@pytest.mark.django_db(transaction=True)
def test_lease_grows_while_the_worker_lives_and_ends_with_it(new: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "BEAT_S", 0.02)
    row = _wanted(None, new)
    patch = claim_patch(patch_id=row.pk)
    assert patch is not None
    assert patch.leased_until is not None
    first = patch.leased_until
    deadline = time.monotonic() + 10
    with lease_kept(patch):
        while row.leased_until is None or row.leased_until <= first:
            assert time.monotonic() < deadline, "the lease was not extended"
            time.sleep(0.01)
            row.refresh_from_db()
        assert claim_patch(patch_id=row.pk) is None
    row.refresh_from_db()
    last = row.leased_until
    time.sleep(0.1)
    row.refresh_from_db()
    assert row.leased_until == last


WORKER = """
import sys, time
from datetime import timedelta
import django; django.setup()
from registry.deltas import building
building.LEASE, building.BEAT_S = timedelta(seconds=3), 0.1
patch = building.claim_patch(patch_id=int(sys.argv[1]))
with building.lease_kept(patch):
    print("claimed", flush=True)
    time.sleep(60)
"""


@pytest.mark.django_db(transaction=True)
def test_patch_of_a_killed_worker_is_taken_over_when_its_lease_runs_out(new: Artifact) -> None:
    row = _wanted(None, new)
    database = connection.settings_dict
    url = (
        f"sqlite:///{database['NAME']}"
        if connection.vendor == "sqlite"
        else f"postgresql://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    environment = {**os.environ, "SMALLFLEET_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", WORKER, str(row.pk)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"claimed\n"
        row.refresh_from_db()
        first = row.leased_until
        assert first is not None
        while row.leased_until is None or row.leased_until <= first + timedelta(seconds=1):
            assert worker.poll() is None
            time.sleep(0.05)
            row.refresh_from_db()
        assert claim_patch(patch_id=row.pk) is None
        worker.kill()
    deadline = time.monotonic() + 10
    while (taken := claim_patch(patch_id=row.pk)) is None:
        assert time.monotonic() < deadline, "the claim of a killed worker lives on"
        time.sleep(0.05)
    assert taken.tries == 2


@pytest.mark.django_db(transaction=True)
def test_worker_that_lost_its_claim_does_not_extend_the_new_one(new: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "BEAT_S", 0.02)
    slow = claim_patch(patch_id=_abandoned(new, tries=1).pk)
    assert slow is not None
    taken_over_at = timezone.now() + timedelta(seconds=5)
    Patch.objects.filter(pk=slow.pk).update(claimed_at=taken_over_at, leased_until=taken_over_at)
    with lease_kept(slow):
        time.sleep(0.2)
    slow.refresh_from_db()
    assert slow.leased_until == taken_over_at


def test_outcome_of_a_worker_that_lost_its_claim_is_not_written(new: Artifact) -> None:
    row = _wanted(None, new)
    slow = claim_patch(patch_id=row.pk)
    assert slow is not None
    Patch.objects.filter(pk=row.pk).update(claimed_at=timezone.now() + timedelta(seconds=5), tries=2)
    building._conclude(slow, {"state": State.FAILED, "failure": "late"}, 1.0)
    row.refresh_from_db()
    assert (row.state, row.failure) == (State.BUILDING, "")


def test_lost_jobs_are_made_again_and_hopeless_patches_are_given_up(
    old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any
) -> None:
    long_ago = timezone.now() - LOST_JOB - timedelta(seconds=1)
    lost = _wanted(old, new, enqueued_at=long_ago)
    dead = _abandoned(new, tries=1, enqueued_at=timezone.now() - LEASE - timedelta(seconds=2))
    hopeless = _abandoned(old, tries=MAX_TRIES, enqueued_at=long_ago)
    _wanted(new, old, enqueued_at=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        assert resume_builds() == 2
        assert resume_builds() == 0
    assert sorted(_jobs()) == sorted([lost.pk, dead.pk])
    hopeless.refresh_from_db()
    assert hopeless.state == State.FAILED


def test_claim_from_before_leases_is_taken_over(new: Artifact, django_capture_on_commit_callbacks: Any) -> None:
    row = _wanted(None, new, state=State.BUILDING, claimed_at=timezone.now(), tries=1)
    with django_capture_on_commit_callbacks(execute=True):
        assert resume_builds() == 1
    assert claim_patch(patch_id=row.pk) is not None


# --- Effort ---------------------------------------------------------------------------------------------------------


def test_patch_is_made_with_the_effort_that_was_asked_for(old: Artifact, new: Artifact) -> None:
    patch = build_patch(patch_id=_wanted(old, new, wanted_effort="fast").pk)
    assert patch is not None
    assert (patch.state, patch.effort) == (State.READY, "fast")


def test_ready_patch_is_offered_while_it_is_made_again_with_more_effort(
    old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any
) -> None:
    fast = build_patch(patch_id=_wanted(old, new, wanted_effort="fast").pk)
    assert fast is not None
    assert fast.artifact is not None
    with django_capture_on_commit_callbacks(execute=True):
        request_patches(target=new, bases=[old], effort="max")
    assert fast.pk in _jobs()
    claimed = claim_patch(patch_id=fast.pk)
    assert claimed is not None
    assert next(way.sha256 for way in way_table(new).ways([old.sha256], [BUILT_FORMAT])) == (fast.artifact.sha256)
    Patch.objects.filter(pk=fast.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    patch = build_patch(patch_id=fast.pk)
    assert patch is not None
    assert patch.artifact is not None
    assert patch.state == State.READY
    smaller = patch.effort == "max"
    assert smaller == (patch.artifact != fast.artifact)
    assert build_patch(patch_id=fast.pk) is None  # it is not made a third time


def test_ready_patch_stays_where_making_it_again_fails(
    old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any
) -> None:
    fast = build_patch(patch_id=_wanted(old, new, wanted_effort="fast").pk)
    assert fast is not None
    request_patches(target=new, bases=[old], effort="max")
    current_store().delete(old.sha256)
    for _ in range(MAX_TRIES):
        assert build_patch(patch_id=fast.pk) is not None
    assert build_patch(patch_id=fast.pk) is None
    again = Patch.objects.get(pk=fast.pk)
    assert (again.state, again.artifact, again.effort, again.build_s) == (
        State.READY, fast.artifact, "fast", fast.build_s,
    )  # fmt: skip
    assert "FileNotFoundError" in again.failure


def test_asking_for_the_effort_that_it_was_made_with_makes_nothing_again(
    old: Artifact, new: Artifact, django_capture_on_commit_callbacks: Any
) -> None:
    patch = build_patch(patch_id=_wanted(old, new).pk)
    assert patch is not None
    with django_capture_on_commit_callbacks(execute=True):
        request_patches(target=new, bases=[old], effort=patch.effort)
    assert patch.pk not in _jobs()


@pytest.fixture
def offered(old: Artifact, new: Artifact) -> dict[str, Artifact]:
    """A target with a delta from `old`, a packed file, a delta in a newer format, and one from `other` that is being made."""
    other = make_artifact(onnx_model(7))
    make_patch(old, new, b"delta" * 10)
    make_patch(None, new, b"packed" * 50)
    make_patch(old, new, b"newer", patch_format=NEWER)
    make_patch(other, new, None, state=State.BUILDING)
    return {"old": old, "new": new, "other": other}


def test_ways_are_sorted_by_bytes_and_raw_is_always_there(offered: dict[str, Artifact]) -> None:
    new, old = offered["new"], offered["old"]
    ways = way_table(new).ways({old.sha256}, [BUILT_FORMAT])
    assert [(way.way, way.size_bytes) for way in ways] == [("delta", 50), ("packed", 300), ("raw", new.size_bytes)]
    assert (ways[0].base, ways[0].format) == (old.sha256, BUILT_FORMAT)
    assert ways[-1] == Way("raw", new.sha256, new.size_bytes)


def test_only_formats_that_are_read_and_bases_that_are_held_are_offered(offered: dict[str, Artifact]) -> None:
    new, old, other = (offered[name] for name in ("new", "old", "other"))
    assert [way.way for way in way_table(new).ways([], [BUILT_FORMAT])] == ["packed", "raw"]
    assert [way.way for way in way_table(new).ways([other.sha256, "f" * 64], [BUILT_FORMAT])] == [
        "packed",
        "raw",
    ]
    assert [way.way for way in way_table(new).ways([old.sha256], [])] == ["raw"]
    assert [way.format for way in way_table(new).ways([old.sha256], [BUILT_FORMAT, NEWER])] == [
        NEWER,
        BUILT_FORMAT,
        BUILT_FORMAT,
        None,
    ]


def test_pending_means_that_something_better_for_this_device_is_being_made(offered: dict[str, Artifact]) -> None:
    new, old, other = (offered[name] for name in ("new", "old", "other"))
    assert way_table(new).is_pending([other.sha256], [BUILT_FORMAT])
    assert not way_table(new).is_pending([other.sha256], [NEWER])
    assert not way_table(new).is_pending([old.sha256], [BUILT_FORMAT])
    _wanted(None, old)
    assert way_table(old).is_pending([], [BUILT_FORMAT])


def test_ten_thousand_devices_take_one_query(offered: dict[str, Artifact], django_assert_num_queries: Any) -> None:
    new, old = offered["new"], offered["old"]
    with django_assert_num_queries(1):
        tables = way_tables([new, old])
        costs = {tables[new.sha256].ways([old.sha256], [BUILT_FORMAT])[0].size_bytes for _ in range(10_000)}
    assert costs == {50}
    first = {base: tables[new.sha256].ways([base], [BUILT_FORMAT])[0].way for base in (old.sha256, "f" * 64)}
    assert first == {old.sha256: "delta", "f" * 64: "packed"}


def test_matrix_shows_every_patch_of_the_line_with_names(viewer: APIClient) -> None:
    line = make_line()
    first = make_variant(make_version(line, "1.0.0"), content=onnx_model(1)).artifact
    second = make_variant(make_version(line, "1.1.0"), content=onnx_model(2)).artifact
    make_patch(first, second, b"delta")
    make_patch(None, second, None, state=State.FAILED, failure="no memory")
    answer = send(viewer, "GET", "/models/digits/deltas").json()
    assert answer["count"] == 2
    packed, from_first = sorted(answer["results"], key=lambda cell: cell["base"] is not None)
    assert from_first["base"]["variants"] == ["digits/1.0.0 fp32"]
    assert from_first["target"]["variants"] == ["digits/1.1.0 fp32"]
    assert (from_first["state"], from_first["format"], from_first["size_bytes"]) == ("ready", BUILT_FORMAT, 5)
    assert (packed["state"], packed["failure"], packed["sha256"]) == ("failed", "no memory", None)
    assert len(matrix_of(patches_of(line), actor=SYSTEM)) == 2


def test_matrix_takes_two_queries_however_long(old: Artifact, new: Artifact, django_assert_num_queries: Any) -> None:
    line = make_line()
    version = make_version(line)
    for name, artifact in (("a", old), ("b", new)):
        version.variants.create(name=name, artifact=artifact)
    for base, target in ((old, new), (new, old), (None, old), (None, new)):
        _wanted(base, target)
    with django_assert_num_queries(2):
        assert len([cell.target.variants for cell in matrix_of(patches_of(line), actor=SYSTEM)]) == 4


def test_publishing_has_first_installs_packed_and_no_draft_has() -> None:
    version = make_version(make_line())
    first = make_variant(version, "fp32", content=onnx_model(1))
    assert not Patch.objects.exists()
    publish_version(actor=SYSTEM, version=version)
    added = make_variant(version, "int8", content=onnx_model(2))
    publish_version(actor=SYSTEM, version=version)
    assert [patch.target for patch in Patch.objects.order_by("id").filter(base=None)] == [
        first.artifact,
        added.artifact,
    ]
    assert not Patch.objects.exclude(base=None).exists()
