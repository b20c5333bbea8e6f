"""What changes the fleet: operators only, POST only, one service each, refusals in words."""

from uuid import uuid4

import pytest
from django.test import Client

from access.models import AuditRecord, Role
from fleet.devices.models import Installation
from fleet.rollouts.models import Rollout
from registry.models import Patch
from tests.factories.people import make_person
from tests.factories.scenario import Scenario, make_scenario
from tests.fleet.dashboards.conftest import ClientOf

VERBS = ["start", "pause", "resume", "abort"]


@pytest.fixture
def scenario(db: None) -> Scenario:
    return make_scenario(12)


def running(scenario: Scenario) -> Rollout:
    assert scenario.running
    return scenario.running


def test_buttons_fit_the_state(operator: Client, scenario: Scenario) -> None:
    assert scenario.draft
    assert scenario.finished
    offered = {
        rollout.pk: [
            verb
            for verb in VERBS
            if f"/{rollout.pk}/{verb}/" in operator.get(f"/rollouts/{rollout.pk}/").content.decode()
        ]
        for rollout in (scenario.draft, running(scenario), scenario.finished)
    }
    assert list(offered.values()) == [["start", "abort"], ["pause", "abort"], []]


def test_pause_resume_and_abort_go_through(operator: Client, scenario: Scenario) -> None:
    path = f"/rollouts/{running(scenario).pk}/"
    for verb, state in (("pause", "paused"), ("resume", "running"), ("abort", "aborted")):
        response = operator.post(f"{path}{verb}/", follow=True)
        assert response.redirect_chain == [(path, 302)]
        assert f"state {state}" in response.content.decode()
        assert Rollout.objects.get(pk=running(scenario).pk).state == state
    assert list(AuditRecord.objects.filter(actor="person:operator").values_list("action", flat=True)) == [
        "abort_rollout",
        "resume_rollout",
        "pause_rollout",
    ]


def test_abort_with_roll_back_sends_devices_back(operator: Client, scenario: Scenario) -> None:
    operator.post(f"/rollouts/{running(scenario).pk}/abort/", {"roll_back": "yes"})
    arrived = Installation.objects.filter(current=scenario.variants["1.1.0 fp32"].artifact)
    assert arrived.count() > 0
    assert {each.target for each in arrived} == {scenario.variants["1.0.0 fp32"]}


def test_refusal_is_told_on_the_page_and_changes_nothing(operator: Client, scenario: Scenario) -> None:
    assert scenario.draft
    response = operator.post(f"/rollouts/{scenario.draft.pk}/start/", follow=True)
    assert "Another rollout is running there" in response.content.decode()
    assert Rollout.objects.get(pk=scenario.draft.pk).state == "draft"


def test_viewer_cannot_change_anything(viewer: Client, scenario: Scenario) -> None:
    for verb in VERBS:
        assert viewer.post(f"/rollouts/{running(scenario).pk}/{verb}/").status_code == 403
    new = {"variant": scenario.variants["1.1.0 int8"].pk, "wait_for_delta_s": 600}
    assert viewer.post("/rollouts/new/", new).status_code == 403
    assert Rollout.objects.count() == 3
    assert Rollout.objects.get(pk=running(scenario).pk).state == "running"


def test_anonymous_cannot_change_anything(client: Client, scenario: Scenario) -> None:
    for path in (f"/rollouts/{running(scenario).pk}/pause/", "/rollouts/new/"):
        assert client.post(path)["Location"].startswith("/login/")
    assert Rollout.objects.get(pk=running(scenario).pk).state == "running"


def test_get_never_changes_anything(operator: Client, scenario: Scenario) -> None:
    for verb in VERBS:
        assert operator.get(f"/rollouts/{running(scenario).pk}/{verb}/").status_code == 405


def test_form_without_its_csrf_token_is_refused(db: None, scenario: Scenario) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_person(Role.OPERATOR))
    assert strict.post(f"/rollouts/{running(scenario).pk}/pause/").status_code == 403
    assert Rollout.objects.get(pk=running(scenario).pk).state == "running"


def test_unknown_verb_and_unknown_rollout_are_404(operator: Client, scenario: Scenario) -> None:
    assert operator.post(f"/rollouts/{running(scenario).pk}/finish/").status_code == 404
    assert operator.post(f"/rollouts/{uuid4()}/pause/").status_code == 404


def test_plan_shows_the_cost_for_the_chosen_group(operator: Client, scenario: Scenario) -> None:
    assert scenario.draft
    assert scenario.draft.group
    variant = scenario.variants["1.1.0 int8"].pk
    everybody = operator.get(f"/rollouts/new/?variant={variant}&group=")
    berlin = operator.get(f"/rollouts/new/?variant={variant}&group={scenario.draft.group.pk}")
    assert everybody.context["cost"].devices == 12
    assert berlin.context["cost"].devices == 4
    assert operator.get("/rollouts/new/?variant=999999").status_code == 400


def test_draft_is_created_from_the_plan(operator: Client, scenario: Scenario) -> None:
    variant = scenario.variants["1.1.0 int8"]
    response = operator.post("/rollouts/new/", {"variant": variant.pk, "group": "", "wait_for_delta_s": 60})
    made = Rollout.objects.get(target=variant, group=None)
    assert response["Location"] == f"/rollouts/{made.pk}/"
    assert (made.state, made.wait_for_delta_s, made.created_by and made.created_by.username) == (
        "draft",
        60,
        "operator",
    )


def test_rollout_is_created_and_started_at_once(client_of: ClientOf, scenario: Scenario) -> None:
    admin = client_of(Role.ADMIN)
    admin.post(f"/rollouts/{running(scenario).pk}/abort/")
    variant = scenario.variants["1.1.0 int8"]
    admin.post("/rollouts/new/", {"variant": variant.pk, "wait_for_delta_s": 0, "start": "yes"})
    assert Rollout.objects.get(target=variant, group=None).state == "running"
    assert set(Installation.objects.values_list("target", flat=True)) == {variant.pk}


def test_plan_that_is_refused_says_why_and_keeps_the_choice(operator: Client, scenario: Scenario) -> None:
    variant = scenario.variants["1.1.0 int8"]
    response = operator.post("/rollouts/new/", {"variant": variant.pk, "wait_for_delta_s": 0, "start": "yes"})
    assert response.status_code == 409
    assert "Another rollout is running there" in response.content.decode()
    assert response.context["cost"].variant == variant
    assert Rollout.objects.count() == 3


def test_plan_with_a_wrong_wait_is_told_beside_the_field(operator: Client, scenario: Scenario) -> None:
    variant = scenario.variants["1.1.0 int8"]
    response = operator.post("/rollouts/new/", {"variant": variant.pk, "wait_for_delta_s": -1})
    assert response.status_code == 400
    assert "greater than or equal to 0" in response.content.decode()


# --- Patches --------------------------------------------------------------------------------------------------------

BUILD = "/models/digits/deltas/build/"


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.PUBLISHER])
def test_operators_and_publishers_have_patches_built(client_of: ClientOf, scenario: Scenario, role: Role) -> None:
    client = client_of(role)
    assert "Build what is planned" in client.get("/models/digits/deltas/").content.decode()
    before = Patch.objects.count()
    answer = client.post(BUILD, {"budget_mb": "50", "budget_s": "600", "effort": ""}, follow=True)
    assert answer.redirect_chain == [("/models/digits/deltas/", 302)]
    assert "asked for." in answer.content.decode()
    assert Patch.objects.count() > before
    record = AuditRecord.objects.get(action="order_patches")
    assert (record.actor, record.subject) == (f"person:{role.value}", "digits")


def test_viewer_has_no_patches_built(viewer: Client, scenario: Scenario) -> None:
    before = Patch.objects.count()
    assert "Build what is planned" not in viewer.get("/models/digits/deltas/").content.decode()
    assert viewer.post(BUILD).status_code == 403
    assert viewer.get(BUILD).status_code == 405
    assert Patch.objects.count() == before


def test_budget_that_is_no_number_asks_for_nothing(operator: Client, scenario: Scenario) -> None:
    before = Patch.objects.count()
    answer = operator.post(BUILD, {"budget_mb": "much"}, follow=True)
    assert "Nothing was asked for" in answer.content.decode()
    assert Patch.objects.count() == before
