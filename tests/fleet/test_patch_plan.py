"""The plan of patches over a real fleet: who counts, what history and budgets do, who may ask, and what is asked for then."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from access.actors import SYSTEM
from access.models import AuditRecord
from fleet.devices.holdings import holdings_of
from fleet.devices.services import revoke_device
from fleet.rollouts.patches import line_outlook, order_patches, plan_patches, retire_patches
from fleet.rollouts.services import abort_rollout
from registry.deltas.formats import BUILT_FORMAT
from registry.deltas.outlook import Outlook
from registry.deltas.planning import Pair
from registry.deltas.queries import way_table
from registry.models import Artifact, Patch, Variant
from tests.factories.fleet import make_device, make_fleet, make_group, make_patch, make_rollout, make_variant
from tests.factories.people import api_as

pytestmark = pytest.mark.django_db
PLAN = "/api/v1/models/digits/deltas/plan"
State = Patch.State


def pair(base: Variant | None, target: Variant) -> Pair:
    return Pair(base.artifact.sha256 if base else None, target.artifact.sha256)


def outlook_of(variant: Variant, **wish: Any) -> Outlook:
    return line_outlook(variant.version.model_line, **wish)


def asked_deltas() -> set[tuple[int | None, int]]:
    return set(Patch.objects.exclude(base=None).values_list("base", "target"))


@pytest.fixture
def old() -> Variant:
    return make_variant("1.0.0")


@pytest.fixture
def new(old: Variant) -> Variant:
    return make_variant("1.1.0")


class TestHoldings:
    def test_installations_that_are_alike_are_counted_by_the_database(self, old: Variant, new: Variant) -> None:
        make_fleet(5, current=old)
        make_device().holds(new, old)
        gone = make_device()
        gone.holds(new)
        revoke_device(actor=SYSTEM, device=gone.row)
        held = {holding.held: holding.count for holding in holdings_of(model_line=old.version.model_line)}
        assert held == {
            frozenset({old.artifact.sha256}): 5,
            frozenset({old.artifact.sha256, new.artifact.sha256}): 1,
        }

    def test_bases_are_looked_for_under_the_other_lines_of_the_same_devices(self, old: Variant) -> None:
        letters = make_variant("3.0.0", line="letters")
        both, other = make_device(attributes={"site": "berlin"}), make_device()
        both.holds_all({"digits": old, "letters": letters})
        other.holds_all({"letters": letters})
        make_device().holds(old)
        line, base = old.version.model_line, letters.artifact.sha256
        found = {holding.held: holding.count for holding in holdings_of(model_line=line, bases={base})}
        assert found == {frozenset({old.artifact.sha256}): 1, frozenset({old.artifact.sha256, base}): 1}
        assert all(base not in holding.held for holding in holdings_of(model_line=line))
        (berlin,) = holdings_of(model_line=line, group=make_group(), bases={base})
        assert base in berlin.held


class TestOutlook:
    def test_every_pair_of_held_and_wanted_has_a_status(self, old: Variant, new: Variant) -> None:
        make_device().holds(old)
        make_device().holds(new)
        pairs = outlook_of(old).plan.pairs
        assert set(pairs) == {pair(None, old), pair(None, new), pair(old, new), pair(new, old)}
        assert {one.status for one in pairs.values()} == {"planned"}

    def test_devices_that_do_not_read_what_is_built_do_not_count(self, old: Variant, new: Variant) -> None:
        device = make_device()
        device.holds(old)
        type(device.row).objects.update(patch_formats=[BUILT_FORMAT + 1])
        assert pair(old, new) not in outlook_of(old).plan.pairs

    def test_device_that_holds_what_the_registry_does_not_know_takes_the_packed_file(self, new: Variant) -> None:
        device = make_device()
        device.holds(new)
        device.row.installations.update(current=None, current_sha256="e" * 64)
        pairs = outlook_of(new).plan.pairs
        assert {one.pair.base for one in pairs.values()} == {None}
        assert pairs[pair(None, new)].devices == 1

    def test_measured_pairs_correct_the_prior(self, old: Variant, new: Variant) -> None:
        make_device().holds(old)
        before = outlook_of(old).plan.pairs[pair(old, new)].expected
        assert before is not None
        assert before.alike == 0
        older = make_variant("0.9.0")
        Patch.objects.filter(pk=make_patch(older.artifact, old.artifact, 300_000).pk).update(build_s=9.0, effort="max")
        after = outlook_of(old).plan.pairs[pair(old, new)].expected
        assert after is not None
        assert (after.alike, after.size_bytes, after.build_s) == (1, 300_000, 9.0)

    def test_kind_of_pair_that_was_useless_is_not_tried_again(self, old: Variant, new: Variant) -> None:
        older = make_variant("0.9.0")
        Patch.objects.create(
            base=older.artifact, target=old.artifact, patch_format=BUILT_FORMAT, state=State.USELESS, size_bytes=890_000
        )
        make_patch(None, new.artifact, 700_000)
        make_device().holds(old)
        one = outlook_of(old).plan.pairs[pair(old, new)]
        assert one.status == "not-worth-it"
        assert one.reason == "890,000 B expected, packed has 700,000 B"

    def test_patches_that_are_there_and_on_their_way_use_the_standing_budget(
        self, old: Variant, new: Variant, settings: Any
    ) -> None:
        settings.SMALLFLEET_PATCH_BUDGET_MB, settings.SMALLFLEET_PATCH_BUDGET_S = 1, 100
        make_device().holds(old)
        stored = make_patch(new.artifact, old.artifact, 150_000)
        make_patch(None, new.artifact, 800_000)  # packed files do not count
        Patch.objects.filter(pk=stored.pk).update(build_s=30, built_at=timezone.now() - timedelta(hours=1))
        assert outlook_of(old).left.storage_bytes == 850_000
        assert outlook_of(old).left.build_s == 70
        assert outlook_of(old).plan.pairs[pair(old, new)].status == "planned"
        Patch.objects.filter(pk=stored.pk).update(built_at=timezone.now() - timedelta(hours=25))
        assert outlook_of(old).left.build_s == 100
        Patch.objects.create(
            base=make_variant("0.9.0").artifact, target=new.artifact, patch_format=BUILT_FORMAT, state=State.WANTED
        )
        assert outlook_of(old).left.storage_bytes == 700_000
        settings.SMALLFLEET_PATCH_BUDGET_S = 5  # 2.8 of them are expected of the one that is on its way
        shown = outlook_of(old)
        assert shown.left.build_s == pytest.approx(2.2)
        assert shown.plan.pairs[pair(old, new)].status == "over-budget"

    def test_patch_of_an_older_format_is_built_until_it_is_asked_for_in_the_newer(
        self, old: Variant, new: Variant
    ) -> None:
        make_device().holds(old)
        patch = make_patch(old.artifact, new.artifact, 100_000)
        Patch.objects.filter(pk=patch.pk).update(patch_format=BUILT_FORMAT - 1)
        assert outlook_of(old).plan.pairs[pair(old, new)].status == "built"

    def test_same_bytes_wanted_by_two_lines_are_one_target(self, old: Variant, new: Variant) -> None:
        twin = make_variant("1.0.0", line="letters")
        Variant.objects.filter(pk=twin.pk).update(artifact=new.artifact)
        make_device().holds(old)
        make_device().holds(make_variant("0.9.0", line="letters"), line="letters")
        plan_patches()
        assert Patch.objects.filter(base=None, target=new.artifact).count() == 1

    def test_pairs_take_the_same_queries_however_many(self, old: Variant, django_assert_max_num_queries: Any) -> None:
        for minor in range(1, 6):
            for name in ("fp32", "int8", "fp16"):
                make_device().holds(make_variant(f"1.{minor}.0", name))
        with django_assert_max_num_queries(12):
            assert len(outlook_of(old).plan.pairs) > 80


class TestAsking:
    def test_standing_budget_buys_what_saves_most(self, old: Variant, new: Variant, settings: Any) -> None:
        many, few = make_variant("0.9.0"), make_variant("0.8.0")
        make_fleet(20, current=many)
        make_device().holds(few)
        settings.SMALLFLEET_PATCH_BUDGET_MB = 1  # room for one patch of 0.7 MB
        rollout = make_rollout(new)
        assert asked_deltas() == {(many.artifact.pk, new.artifact.pk)}
        assert rollout.state == "running"
        plan_patches()
        assert asked_deltas() == {(many.artifact.pk, new.artifact.pk)}

    def test_running_rollout_comes_first_of_all_lines(self, settings: Any) -> None:
        settings.SMALLFLEET_PATCH_BUDGET_MB = 1
        base, target = make_variant("1.0.0", line="letters"), make_variant("1.1.0", line="letters")
        make_fleet(50, current=make_variant("1.0.0"))
        make_variant("1.1.0")
        make_device().holds(base, line="letters")
        make_rollout(target)
        plan_patches()
        assert asked_deltas() == {(base.artifact.pk, target.artifact.pk)}

    def test_order_has_a_budget_of_its_own_and_is_in_the_audit_log(
        self, old: Variant, new: Variant, settings: Any
    ) -> None:
        settings.SMALLFLEET_PATCH_BUDGET_MB = 0
        make_device().holds(old)
        plan_patches()
        assert asked_deltas() == set()
        order_patches(actor=SYSTEM, model_line=old.version.model_line, storage_bytes=2e6)
        assert asked_deltas() == {(old.artifact.pk, new.artifact.pk)}
        record = AuditRecord.objects.get(action="order_patches")
        assert (record.subject, record.detail["patches"], record.detail["budget_bytes"]) == ("digits", 1, "2000000.0")

    def test_order_with_effort_reaches_what_waits_and_what_is_built(self, old: Variant, new: Variant) -> None:
        make_device().holds(old)
        built = make_patch(old.artifact, new.artifact, 500_000)
        Patch.objects.filter(pk=built.pk).update(effort="fast")
        packed = Patch.objects.create(target=new.artifact, patch_format=BUILT_FORMAT)
        order_patches(actor=SYSTEM, model_line=old.version.model_line, effort="max")
        for patch, state in ((built, State.READY), (packed, State.WANTED)):
            patch.refresh_from_db()
            assert (patch.state, patch.wanted_effort) == (state, "max")


class TestRetiring:
    def _built(self, base: Variant, target: Variant, *, days_ago: int) -> Patch:
        patch = make_patch(base.artifact, target.artifact, 300_000)
        Patch.objects.filter(pk=patch.pk).update(built_at=timezone.now() - timedelta(days=days_ago), build_s=4.0)
        return patch

    def test_delta_that_no_device_needs_leaves_the_budget_and_is_offered_no_more(
        self, old: Variant, new: Variant
    ) -> None:
        older = make_variant("0.9.0")
        needed = self._built(old, new, days_ago=30)
        idle, fresh = self._built(older, new, days_ago=30), self._built(older, old, days_ago=1)
        packed = make_patch(None, new.artifact, 800_000)
        make_device().holds(old)
        assert retire_patches() == 1
        assert retire_patches() == 0
        for patch in (needed, idle, fresh, packed):
            patch.refresh_from_db()
        assert {patch.state for patch in (needed, fresh, packed)} == {State.READY}
        assert (idle.state, idle.artifact, idle.size_bytes) == (State.RETIRED, None, 300_000)
        assert outlook_of(old).used.storage_bytes == 600_000
        ways = way_table(new.artifact).ways([older.artifact.sha256], [BUILT_FORMAT])
        assert [way.way for way in ways] == ["packed", "raw"]

    def test_retired_delta_still_tells_what_to_expect_and_is_made_anew_when_a_device_needs_it(
        self, old: Variant, new: Variant
    ) -> None:
        idle = self._built(old, new, days_ago=30)
        make_device().holds(new)
        assert retire_patches() == 1
        make_device().holds(old)
        expected = outlook_of(old).plan.pairs[pair(old, new)].expected
        assert expected is not None
        assert (expected.size_bytes, expected.alike) == (300_000, 1)
        plan_patches()
        idle.refresh_from_db()
        assert (idle.state, idle.tries) == (State.WANTED, 0)

    def test_delta_that_a_late_device_was_told_to_take_is_kept(self, old: Variant, new: Variant) -> None:
        delta = self._built(old, new, days_ago=30)
        device = make_device()
        device.holds(old)
        abort_rollout(actor=SYSTEM, rollout=make_rollout(new))
        device.row.installations.update(target=new.pk)
        for version in ("1.2.0", "1.3.0"):
            make_variant(version)
        assert retire_patches() == 0
        delta.refresh_from_db()
        assert delta.state == State.READY


class TestApi:
    def test_viewer_sees_the_plan_and_asks_for_nothing(self, old: Variant, new: Variant) -> None:
        make_device().holds(old)
        api = api_as("viewer")
        body = api.get(PLAN).json()
        assert body["model"] == "digits"
        assert [side["variants"] for side in body["tos"]] == [["1.1.0 fp32"], ["1.0.0 fp32"]]
        assert [(side["sha256"], side["devices"]) for side in body["froms"]] == [(None, 0), (old.artifact.sha256, 1)]
        delta = next(row for row in body["pairs"] if row["base"])
        assert (delta["target"], delta["status"], delta["devices"]) == (new.artifact.sha256, "planned", 1)
        assert (delta["expected_alike"], delta["size_bytes"], delta["effort"]) == (0, None, "")
        assert api.post(PLAN, {}, format="json").status_code == 403
        assert not Patch.objects.exists()

    @pytest.mark.parametrize("role", ["operator", "publisher", "admin"])
    def test_operators_and_publishers_have_the_plan_built(self, role: str, old: Variant, new: Variant) -> None:
        make_device().holds(old)
        answer = api_as(role).post(PLAN, {"budget_mb": 5, "budget_s": 60}, format="json")
        assert answer.status_code == 202
        assert answer.json()["left"] == {"storage_bytes": 5_000_000, "build_s": 60.0}
        assert asked_deltas() == {(old.artifact.pk, new.artifact.pk)}
        assert AuditRecord.objects.filter(action="order_patches").count() == 1

    def test_budget_in_the_query_shows_what_it_would_buy(self, old: Variant, new: Variant) -> None:
        make_device().holds(old)
        rows = api_as("viewer").get(f"{PLAN}?budget_s=0").json()["pairs"]
        delta = next(row for row in rows if row["base"])
        assert delta["status"] == "over-budget"
        assert delta["reason"].endswith(" and 0 s")

    def test_built_pair_shows_bytes_share_and_effort(self, old: Variant, new: Variant) -> None:
        make_device().holds(old)
        patch = make_patch(old.artifact, new.artifact, 90_000)
        Patch.objects.filter(pk=patch.pk).update(effort="fast", build_s=1.5)
        delta = next(row for row in api_as("viewer").get(PLAN).json()["pairs"] if row["base"])
        assert (delta["status"], delta["share"], delta["effort"]) == ("built", 0.1, "fast")
        assert (delta["format"], delta["build_s"]) == (BUILT_FORMAT, 1.5)

    def test_line_without_devices_has_its_packed_files(self, new: Variant) -> None:
        body = api_as("viewer").get(PLAN).json()
        assert {row["base"] for row in body["pairs"]} == {None}

    @pytest.mark.parametrize(
        "wish", [{"budget_mb": -1}, {"budget_mb": "nan"}, {"budget_s": "long"}, {"effort": "heroic"}]
    )
    def test_nonsense_is_refused(self, wish: dict[str, Any], new: Variant) -> None:
        api = api_as("operator")
        assert api.get(PLAN, wish).status_code == 400
        assert api.post(PLAN, wish, format="json").status_code == 400
        assert Artifact.objects.exists()
        assert not Patch.objects.exists()

    def test_unknown_line_is_not_found(self) -> None:
        assert api_as("operator").post(PLAN, {}, format="json").status_code == 404
