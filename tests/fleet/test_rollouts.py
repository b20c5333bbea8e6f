"""Rollouts: the engine's table, and what people can do with one."""

import threading
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access.actors import SYSTEM
from access.models import AuditRecord
from fleet.devices.models import Device, Installation
from fleet.devices.services import revoke_device
from fleet.errors import CohortEmpty, RolloutOverlap, RolloutState, RolloutTarget
from fleet.rollouts import joining
from fleet.rollouts.completion import finish_all_completed
from fleet.rollouts.engine import TRANSITIONS, Progress, State, Verb, next_state
from fleet.rollouts.models import CohortMember, Rollout
from fleet.rollouts.patches import plan_patches
from fleet.rollouts.queries import progress_of
from fleet.rollouts.recording import record_events
from fleet.rollouts.services import abort_rollout, pause_rollout, resume_rollout, start_rollout
from registry.errors import NotSigned
from registry.models import Patch, Variant, Version
from tests.factories.fleet import (
    EnrolledDevice,
    Script,
    in_threads,
    make_artifact,
    make_device,
    make_fleet,
    make_group,
    make_rollout,
    make_variant,
    messages,
    sha,
)
from tests.factories.people import api_as
from tests.factories.registry import withdraw_version

Outcome = CohortMember.Outcome


@pytest.mark.parametrize(("state", "verb"), list(product(State, Verb)))
def test_every_pair_of_state_and_verb_has_one_answer(state: State, verb: Verb) -> None:
    if (state, verb) in TRANSITIONS:
        assert next_state(state, verb) == TRANSITIONS[state, verb]
    else:
        with pytest.raises(RolloutState, match=f"a {state} rollout cannot {verb}"):
            next_state(state, verb)


@pytest.mark.parametrize("verb", list(Verb))
def test_nothing_leads_out_of_the_final_states(verb: Verb) -> None:
    assert (State.FINISHED, verb) not in TRANSITIONS
    assert (State.ABORTED, verb) not in TRANSITIONS


def test_progress_is_complete_when_nothing_is_pending() -> None:
    assert Progress(there=1, failed=2).is_complete
    assert not Progress(pending=1, succeeded=9).is_complete
    assert Progress(1, 2, 3, 4, 5).total == 15


def succeed(device: EnrolledDevice, rollout: Rollout) -> None:
    target = Installation.objects.get(device=device.row).target
    assert target is not None
    record_events(device=device.row, events=messages(Script(target, rollout).story()))


@pytest.mark.django_db
class TestStart:
    def test_cohort_gets_the_target_and_those_there_are_closed(self) -> None:
        old, new = make_variant("1.0.0"), make_variant("1.1.0")
        make_device("old").holds(old)
        make_device("new").holds(new)
        make_device("elsewhere", attributes={"site": "lyon"}).holds(old)
        make_device("berlin", attributes={"site": "berlin"}).holds(old)
        rollout = make_rollout(new, group=make_group(query="site!=lyon"))
        targets = {row.device.name: row.target for row in Installation.objects.select_related("device", "target")}
        assert targets == {"old": new, "new": new, "elsewhere": None, "berlin": new}
        assert (progress_of(rollout).pending, progress_of(rollout).there) == (2, 1)
        assert rollout.state == State.RUNNING
        assert rollout.forecast is not None
        assert (rollout.forecast["devices"], rollout.forecast["devices_there"]) == (3, 1)

    def test_everybody_there_already_finishes_at_once(self) -> None:
        new = make_variant("1.1.0")
        make_device().holds(new)
        rollout = make_rollout(new)
        assert rollout.state == State.FINISHED
        assert AuditRecord.objects.filter(action="finish_rollout", actor="system").count() == 1

    @pytest.mark.parametrize("state", [Version.State.DRAFT, Version.State.YANKED])
    def test_draft_or_yanked_version_is_refused_and_nothing_changes(self, state: str) -> None:
        target = make_variant("1.1.0", state=state, is_live=True)
        make_device().holds(None)
        with pytest.raises(RolloutTarget):
            make_rollout(target)
        assert not Rollout.objects.exists()
        assert Installation.objects.get().target is None

    @pytest.mark.parametrize("start", [True, False])
    def test_variant_that_nobody_signed_is_refused_and_nothing_changes(self, *, start: bool) -> None:
        target = make_variant("1.1.0", is_live=False)
        make_device().holds(None)
        with pytest.raises(NotSigned, match="signs it first"):
            make_rollout(target, start=start)
        assert not Rollout.objects.exists()

    def test_variant_signed_out_between_plan_and_start_is_refused(self) -> None:
        target = make_variant()
        make_device().holds(None)
        rollout = make_rollout(target, start=False)
        Variant.objects.update(is_live=False)
        with pytest.raises(NotSigned):
            start_rollout(actor=SYSTEM, rollout=rollout)

    def test_version_yanked_between_plan_and_start_is_refused(self) -> None:
        target = make_variant()
        make_device().holds(None)
        rollout = make_rollout(target, start=False)
        withdraw_version(target.version)
        with pytest.raises(RolloutTarget, match="yanked"):
            start_rollout(actor=SYSTEM, rollout=rollout)

    def test_empty_cohort_is_refused(self) -> None:
        target = make_variant()
        make_device().holds(None)
        with pytest.raises(CohortEmpty, match="nowhere"):
            make_rollout(target, group=make_group("nowhere", "site=nowhere"))

    def test_revoked_devices_are_no_cohort(self) -> None:
        target = make_variant()
        device = make_device()
        device.holds(None)
        revoke_device(actor=SYSTEM, device=device.row)
        with pytest.raises(CohortEmpty):
            make_rollout(target)

    def test_overlap_with_a_live_rollout_is_refused_until_it_ends(self) -> None:
        first, second = make_variant("1.0.0"), make_variant("1.1.0")
        make_device().holds(None)
        live = make_rollout(first)
        pause_rollout(actor=SYSTEM, rollout=live)
        draft = make_rollout(second, start=False)
        with pytest.raises(RolloutOverlap, match=str(live.pk)):
            start_rollout(actor=SYSTEM, rollout=draft)
        assert Installation.objects.get().target == first
        abort_rollout(actor=SYSTEM, rollout=live)
        assert start_rollout(actor=SYSTEM, rollout=draft).state == State.RUNNING

    def test_other_line_does_not_overlap(self) -> None:
        digits, words = make_variant(), make_variant(line="words")
        device = make_device()
        device.holds(None)
        make_fleet(1, current=words)
        make_rollout(digits)
        assert make_rollout(words).state == State.FINISHED

    def test_started_twice_is_refused(self) -> None:
        target = make_variant()
        make_device().holds(None)
        rollout = make_rollout(target)
        with pytest.raises(RolloutState):
            start_rollout(actor=SYSTEM, rollout=rollout)

    def test_patches_from_what_the_fleet_holds_are_asked_for(self) -> None:
        old, older, new = make_variant("1.0.0"), make_variant("0.9.0"), make_variant("1.1.0")
        make_device().holds(old)
        make_device().holds(older)
        make_rollout(new)
        wanted = set(Patch.objects.filter(target=new.artifact).values_list("base", flat=True))
        assert wanted == {None, old.artifact.pk, older.artifact.pk}


@pytest.mark.django_db(transaction=True)
def test_of_two_overlapping_rollouts_started_at_once_one_runs() -> None:
    drafts = [make_rollout(make_variant(version), start=False) for version in ("1.0.0", "1.1.0")]
    for _ in range(3):
        make_device().holds(None)
    outcomes: list[str] = []

    def start(rollout: Rollout) -> None:
        try:
            outcomes.append(start_rollout(actor=SYSTEM, rollout=rollout).state)
        except RolloutOverlap:
            outcomes.append("refused")

    in_threads(*[lambda rollout=rollout: start(rollout) for rollout in drafts])
    assert sorted(outcomes) == ["refused", "running"]
    assert len(set(Installation.objects.values_list("target", flat=True))) == 1


@pytest.mark.django_db(transaction=True)
def test_device_that_comes_at_the_moment_of_an_abort_gets_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    new = make_variant("1.1.0")
    make_device().holds(None)
    rollout = make_rollout(new)

    def abort() -> None:
        try:
            abort_rollout(actor=SYSTEM, rollout=rollout)
        finally:
            connection.close()

    aborting = threading.Thread(target=abort)

    def assign_late(**wish: Any) -> None:
        """The device has seen the rollout run; now the abort begins, and ends if nothing holds it back."""
        aborting.start()
        aborting.join(timeout=0.5)
        assign(**wish)

    assign = joining.assign_target
    late = make_device()
    monkeypatch.setattr(joining, "assign_target", assign_late)
    late.holds(None)
    aborting.join()
    assert Rollout.objects.get().state == State.ABORTED
    assert late.row.installations.get().target is None


@pytest.mark.django_db(transaction=True)
def test_rollouts_start_and_abort_while_devices_speak_and_nobody_waits_in_a_circle() -> None:
    """Every writer takes its locks in one order: devices, then the line, then installations by their ids."""
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    words = make_variant(line="words")
    devices = [make_device() for _ in range(6)]
    for device in devices:
        device.holds(old)

    def speak(device: EnrolledDevice) -> None:
        for number in range(4):
            device.holds(new if number % 2 else old)
            record_events(device=device.row, events=messages(Script(new).story()))
            device.holds(words if number % 2 else None, line="words")

    def operate() -> None:
        for _ in range(4):
            # All may have dropped the line for the moment, or arrived before they could be stopped.
            with suppress(CohortEmpty, RolloutState):
                abort_rollout(actor=SYSTEM, rollout=make_rollout(new))

    in_threads(operate, *[lambda device=device: speak(device) for device in devices])
    assert Installation.objects.filter(model_line=words.version.model_line, active=True).count() == len(devices)
    assert not Rollout.objects.filter(state=State.RUNNING).exists()


@pytest.mark.django_db
def test_cohort_is_who_matched_at_the_start_whatever_devices_say_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is a member has the target: one without it could never close, and the rollout never finish."""
    new = make_variant("1.1.0")
    devices = [make_device(attributes={"site": "berlin"}) for _ in range(3)]
    for device in devices:
        device.holds(None)
    create = CohortMember.objects.bulk_create

    def create_and_move_a_device(*arguments: Any, **options: Any) -> list[CohortMember]:
        Device.objects.filter(pk=devices[0].row.pk).update(attributes={"site": "lyon"})
        return create(*arguments, **options)

    monkeypatch.setattr(CohortMember.objects, "bulk_create", create_and_move_a_device)
    rollout = make_rollout(new, group=make_group())
    members = set(rollout.members.values_list("installation", flat=True))
    assert members == set(rollout.installations.exclude(target=None).values_list("pk", flat=True))
    assert len(members) == 3


@pytest.mark.django_db
class TestAfterStart:
    def test_pause_keeps_what_closes_meanwhile_and_resume_finishes(self) -> None:
        new = make_variant("1.1.0")
        device = make_device()
        device.holds(None)
        rollout = make_rollout(new)
        pause_rollout(actor=SYSTEM, rollout=rollout)
        succeed(device, rollout)
        rollout.refresh_from_db()
        assert rollout.state == State.PAUSED
        assert resume_rollout(actor=SYSTEM, rollout=rollout).state == State.FINISHED

    def test_version_yanked_during_a_pause_is_not_resumed_but_can_be_aborted(self) -> None:
        target = make_variant("1.1.0")
        make_device().holds(None)
        rollout = make_rollout(target)
        pause_rollout(actor=SYSTEM, rollout=rollout)
        withdraw_version(target.version)
        with pytest.raises(RolloutTarget, match="yanked"):
            resume_rollout(actor=SYSTEM, rollout=rollout)
        rollout.refresh_from_db()
        assert rollout.state == State.PAUSED
        assert abort_rollout(actor=SYSTEM, rollout=rollout).state == State.ABORTED

    def test_abort_leaves_the_done_and_clears_the_rest(self) -> None:
        old, new = make_variant("1.0.0"), make_variant("1.1.0")
        done, waiting, failed = (make_device() for _ in range(3))
        for device in (done, waiting, failed):
            device.holds(old)
        rollout = make_rollout(new)
        succeed(done, rollout)
        record_events(device=failed.row, events=messages([Script(new, rollout).failed()]))
        aborted = abort_rollout(actor=SYSTEM, rollout=rollout)
        assert (aborted.state, aborted.closed_at is not None) == (State.ABORTED, True)
        targets = {row.device_id: row.target for row in Installation.objects.all()}
        assert targets == {done.row.pk: new, waiting.row.pk: None, failed.row.pk: None}

    @pytest.mark.parametrize("said_first", [True, False])
    def test_device_that_succeeded_before_it_heard_of_the_abort_steps_back_too(self, *, said_first: bool) -> None:
        old, new = make_variant("1.0.0"), make_variant("1.1.0")
        device, waiting = make_device(), make_device()
        for one in (device, waiting):
            one.holds(old)
        rollout = make_rollout(new)
        abort_rollout(actor=SYSTEM, rollout=rollout, roll_back=True)
        if said_first:
            device.holds(new, old)
        record_events(device=device.row, events=messages([Script(new, rollout).activated(old)]))
        device.holds(new, old)
        targets = {row.device_id: row.target for row in Installation.objects.all()}
        assert targets == {device.row.pk: old, waiting.row.pk: None}
        record_events(device=device.row, events=messages([Script(old, rollout).activated(new)]))
        device.holds(old, new)
        assert device.row.installations.get().target == old
        assert progress_of(rollout) == Progress(pending=1, rolled_back=1)

    def test_late_success_after_an_abort_without_roll_back_stays(self) -> None:
        old, new = make_variant("1.0.0"), make_variant("1.1.0")
        device = make_device()
        device.holds(old)
        rollout = make_rollout(new)
        abort_rollout(actor=SYSTEM, rollout=rollout)
        record_events(device=device.row, events=messages([Script(new, rollout).activated(old)]))
        assert device.row.installations.get().target is None

    def test_abort_with_roll_back_steps_back_at_zero_bytes(self) -> None:
        old, new = make_variant("1.0.0"), make_variant("1.1.0")
        done, waiting = make_device(), make_device()
        for device in (done, waiting):
            device.holds(old)
        rollout = make_rollout(new)
        record_events(device=done.row, events=messages([Script(new, rollout).activated(old)]))
        abort_rollout(actor=SYSTEM, rollout=rollout, roll_back=True)
        done.holds(new, old)
        (told,) = done.api.get("/api/v1/poll").json()["installations"]
        assert told["action"] == "install"
        assert told["target"]["sha256"] == old.artifact.sha256
        back = Script(old, rollout)
        record_events(device=done.row, events=messages([back.started("previous"), back.activated(new)]))
        done.holds(old, new)
        assert {member.outcome for member in rollout.members.all()} == {Outcome.ROLLED_BACK, Outcome.PENDING}
        assert Installation.objects.get(device=waiting.row).target is None

    def test_roll_back_never_steps_onto_a_yanked_version(self) -> None:
        old, new = make_variant("1.0.0"), make_variant("1.1.0")
        device, waiting = make_device(), make_device()
        device.holds(old)
        waiting.holds(old)
        rollout = make_rollout(new)
        record_events(device=device.row, events=messages([Script(new, rollout).activated(old)]))
        withdraw_version(old.version)
        abort_rollout(actor=SYSTEM, rollout=rollout, roll_back=True)
        assert Installation.objects.get(device=device.row).target == new

    def test_roll_back_never_steps_onto_a_variant_that_was_signed_out(self) -> None:
        old, new = make_variant("1.0.0"), make_variant("1.1.0")
        device = make_device()
        device.holds(old)
        make_device().holds(old)
        rollout = make_rollout(new)
        record_events(device=device.row, events=messages([Script(new, rollout).activated(old)]))
        Variant.objects.filter(pk=old.pk).update(is_live=False)
        abort_rollout(actor=SYSTEM, rollout=rollout, roll_back=True)
        assert Installation.objects.get(device=device.row).target == new

    def test_installation_from_a_bundle_closes_without_an_attempt(self) -> None:
        new = make_variant("1.1.0")
        device = make_device()
        device.holds(None)
        rollout = make_rollout(new)
        device.holds(new)
        rollout.refresh_from_db()
        assert rollout.state == State.FINISHED
        assert rollout.members.get().outcome == Outcome.THERE

    def test_open_attempt_is_waited_for_though_the_device_holds_the_target(self) -> None:
        new = make_variant("1.1.0")
        device = make_device()
        device.holds(None)
        rollout = make_rollout(new)
        script = Script(new, rollout)
        record_events(device=device.row, events=messages([script.started()]))
        device.holds(new)
        rollout.refresh_from_db()
        assert rollout.state == State.RUNNING
        record_events(device=device.row, events=messages([script.activated()]))
        rollout.refresh_from_db()
        assert rollout.state == State.FINISHED

    def test_revoked_device_is_not_waited_for(self) -> None:
        new = make_variant("1.1.0")
        done, lost = make_device(), make_device()
        done.holds(None)
        lost.holds(None)
        rollout = make_rollout(new)
        succeed(done, rollout)
        revoke_device(actor=SYSTEM, device=lost.row)
        finish_all_completed()
        rollout.refresh_from_db()
        assert rollout.state == State.FINISHED
        assert progress_of(rollout).total == 1

    def test_progress_stays_when_a_later_rollout_takes_the_installations(self) -> None:
        first, second = make_variant("1.0.0"), make_variant("1.1.0")
        device = make_device()
        device.holds(None)
        rollout = make_rollout(first)
        succeed(device, rollout)
        make_rollout(second)
        assert progress_of(rollout).succeeded == 1


@pytest.mark.django_db
class TestPlannedPatches:
    def test_patches_to_the_two_newest_versions_are_planned(self) -> None:
        old = make_variant("1.0.0")
        targets = [make_variant(version) for version in ("1.10.0", "1.9.0")]
        make_variant("2.0.0", state=Version.State.DRAFT)
        make_device().holds(old)
        plan_patches()
        plan_patches()
        pairs = set(Patch.objects.exclude(base=None).values_list("base", "target"))
        assert pairs == {(old.artifact.pk, target.artifact.pk) for target in targets}

    def test_planning_again_writes_nothing(self) -> None:
        make_device().holds(make_variant("1.0.0"))
        make_variant("1.1.0")
        plan_patches()
        with CaptureQueriesContext(connection) as queries:
            plan_patches()
        assert queries.captured_queries
        assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)

    def test_draft_rollout_has_its_patches_planned(self) -> None:
        old = make_variant("1.0.0")
        for version in ("1.1.0", "1.2.0"):
            make_variant(version)
        make_device().holds(old)
        back = make_variant("0.5.0")
        make_rollout(back, start=False)
        plan_patches()
        assert Patch.objects.filter(base=old.artifact, target=back.artifact).exists()

    def test_line_that_nobody_has_is_left_alone(self) -> None:
        make_variant()
        plan_patches()
        assert not Patch.objects.exists()


@pytest.mark.django_db
class TestApi:
    def test_operator_runs_a_rollout_through_its_states(self) -> None:
        make_variant("1.0.0")
        make_device().holds(None)
        api = api_as("operator")
        plan = {"model": "digits", "version": "1.0.0", "variant": "fp32", "wait_for_delta_s": 5}
        opened = api.post("/api/v1/rollouts", plan, format="json")
        assert (opened.status_code, opened.json()["state"]) == (201, "draft")
        assert opened.json()["created_by"] == "operator"
        address = f"/api/v1/rollouts/{opened.json()['id']}"
        for verb, state in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("abort", "aborted")):
            answer = api.post(f"{address}/{verb}", {}, format="json")
            assert (answer.status_code, answer.json()["state"]) == (200, state)
        shown = api.get(address).json()
        assert shown["progress"] == {
            "total": 1, "pending": 1, "there": 0, "succeeded": 0, "failed": 0, "rolled_back": 0,
        }  # fmt: skip
        assert shown["forecast"]["devices"] == 1
        assert api.get("/api/v1/rollouts?state=aborted&model=digits").json()["count"] == 1
        assert api.get("/api/v1/rollouts?state=running").json()["count"] == 0
        actions = list(AuditRecord.objects.filter(actor__startswith="token:").values_list("action", flat=True))
        assert actions == ["abort_rollout", "resume_rollout", "pause_rollout", "start_rollout", "open_rollout"]

    @pytest.mark.parametrize(
        ("changes", "status", "slug"),
        [
            ({"version": "9.9.9"}, 404, "not-found"),
            ({"group": "nowhere"}, 404, "not-found"),
            ({"start": True}, 409, "cohort-empty"),
            ({"wait_for_delta_s": -1}, 400, "invalid-input"),
        ],
    )
    def test_plan_that_cannot_be_is_refused(self, changes: dict[str, Any], status: int, slug: str) -> None:
        make_variant("1.0.0")
        plan = {"model": "digits", "version": "1.0.0", "variant": "fp32", **changes}
        answer = api_as("operator").post("/api/v1/rollouts", plan, format="json")
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:smallfleet:problem:{slug}")
        assert not Rollout.objects.exists()

    def test_viewer_may_look_and_not_touch(self) -> None:
        make_variant()
        make_device().holds(None)
        rollout = make_rollout(make_variant("2.0.0"), start=False)
        api = api_as("viewer")
        assert api.get(f"/api/v1/rollouts/{rollout.pk}").status_code == 200
        assert api.post(f"/api/v1/rollouts/{rollout.pk}/start").status_code == 403

    def test_groups_link_classes_tokens_and_devices_have_their_routes(self) -> None:
        api = api_as("operator")
        lte = {"name": "lte", "price_per_mb": "0.5", "metered": True}
        assert [api.post("/api/v1/link-classes", lte, format="json").status_code for _ in range(2)] == [201, 200]
        assert api.post("/api/v1/link-classes", {**lte, "metered": False}, format="json").status_code == 409
        assert api.patch("/api/v1/link-classes/lte", {"price_per_mb": "0.25"}, format="json").status_code == 200
        assert api.get("/api/v1/link-classes/lte").json()["price_per_mb"] == "0.250000"
        group = {"name": "berlin", "query": " site = berlin"}
        assert [api.post("/api/v1/groups", group, format="json").status_code for _ in range(2)] == [201, 200]
        assert api.get("/api/v1/groups/berlin").json()["query"] == "site=berlin"
        refused = api.post("/api/v1/groups", {"name": "x", "query": "a b"}, format="json")
        assert (refused.status_code, "'a b'" in refused.json()["detail"]) == (400, True)
        wish = {"name": "line 3", "uses": 2, "link_class": "lte", "attributes": {"site": "berlin"}}
        token = api.post("/api/v1/enrollment-tokens", wish, format="json")
        assert token.status_code == 201
        enrolled = api.post("/api/v1/enroll", {"token": token.json()["token"], "name": "gate"}, format="json").json()
        assert "token" not in api.get("/api/v1/enrollment-tokens").json()["results"][0]
        address = f"/api/v1/devices/{enrolled['device_id']}"
        assert api.get("/api/v1/devices?group=berlin").json()["count"] == 1
        assert api.get(address).json()["link_class"] == "lte"
        assert api.patch(address, {"link_class": None, "name": "gate-8"}, format="json").json()["link_class"] is None
        assert api.post(f"{address}/revoke").json()["revoked_at"] is not None
        assert api.delete(f"/api/v1/enrollment-tokens/{token.json()['id']}").status_code == 204
        assert api.delete("/api/v1/groups/berlin").status_code == 204

    def test_group_of_a_rollout_is_kept(self) -> None:
        target = make_variant()
        make_device(attributes={"site": "berlin"}).holds(None)
        make_rollout(target, group=make_group())
        assert api_as("operator").delete("/api/v1/groups/berlin").status_code == 409


@pytest.mark.django_db
def test_digest_that_is_published_later_is_recognised() -> None:
    from fleet.devices.recognition import recognise_artifacts

    make_variant()
    device = make_device()
    device.holds(None)
    Installation.objects.update(current_sha256=sha("late"))
    assert recognise_artifacts() == 0
    late = make_artifact("late")
    assert recognise_artifacts() == 1
    assert Installation.objects.get().current == late
