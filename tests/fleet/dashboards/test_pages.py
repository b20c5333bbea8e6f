"""Every page: who sees it, what it says with nothing, little and much, and that it keeps to the rules of the house."""

from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from access.models import Role
from fleet.devices.models import Device, Installation
from fleet.rollouts.models import Event, Rollout
from registry.deltas.formats import BUILT_FORMAT
from registry.models import Artifact, ModelLine, Patch, Version
from tests.factories.fleet import make_fleet
from tests.factories.measurements import made_run, store_runs
from tests.factories.people import PASSWORD, make_person
from tests.factories.registry import withdraw_version
from tests.factories.scenario import Scenario, make_artifact, make_scenario, sha
from tests.fleet.dashboards.conftest import ClientOf

NOBODY = "00000000-0000-4000-8000-000000000000"
LISTS = ["/", "/models/", "/rollouts/", "/devices/", "/benchmarks/"]


def text_of(response: Any) -> str:
    """The page's source with ordinary spaces."""
    source: str = response.content.decode()
    return source.replace("\u00a0", " ").replace("\u202f", " ")


def every_page(scenario: Scenario) -> list[str]:
    assert scenario.running
    assert scenario.draft
    assert scenario.finished
    return [
        *LISTS,
        "/models/digits/",
        "/models/digits/deltas/",
        "/models/digits/deltas/?budget_mb=1&budget_s=5&effort=max",
        f"/rollouts/{scenario.running.pk}/",
        f"/rollouts/{scenario.running.pk}/live/",
        f"/rollouts/{scenario.draft.pk}/",
        f"/rollouts/{scenario.finished.pk}/",
        "/rollouts/new/",
        f"/rollouts/new/?variant={scenario.variants['1.1.0 int8'].pk}",
        *(f"/devices/{device.pk}/" for device in scenario.devices[:12]),
        "/devices/?q=site%3Dberlin",
        "/benchmarks/?model=digits&configuration=canonical",
    ]


class Page(HTMLParser):
    """What may not be in a page, and what must be labelled."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.ids: Counter[str] = Counter()
        self.labels: set[str] = set()
        self.fields: list[str] = []
        self.open: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.inline.append(self.get_starttag_text() or tag)
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline.append(self.get_starttag_text() or tag)
        if "id" in given:
            self.ids[str(given["id"])] += 1
        if tag == "label":
            self.labels.add(str(given.get("for")))
        if tag in {"input", "select"} and given.get("type") not in {"hidden", "checkbox"}:
            self.fields.append(str(given.get("id")))
        if tag in {"table", "section", "div", "form", "details", "main", "ul", "ol", "tr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"table", "section", "div", "form", "details", "main", "ul", "ol", "tr"}:
            assert self.open.pop() == tag, f"</{tag}> closes something else"


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*LISTS, "/models/digits/", f"/rollouts/{NOBODY}/", f"/devices/{NOBODY}/"])
def test_anonymous_is_sent_to_log_in_and_comes_back(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/login/?next={path}"


@pytest.mark.django_db
def test_login_leads_to_the_page_that_was_asked_for(client: Client) -> None:
    make_person(Role.VIEWER)
    assert "Log in" in text_of(client.get("/login/?next=/devices/"))
    wrong = client.post("/login/", {"username": "viewer", "password": "wrong", "next": "/devices/"})
    assert 'role="alert"' in text_of(wrong)
    right = client.post("/login/", {"username": "viewer", "password": PASSWORD, "next": "/devices/"})
    assert right["Location"] == "/devices/"
    assert client.get("/devices/").status_code == 200


@pytest.mark.django_db
def test_logging_out_ends_the_session(viewer: Client) -> None:
    assert viewer.post("/logout/")["Location"] == "/login/"
    assert viewer.get("/").status_code == 302


@pytest.mark.django_db
def test_person_without_a_role_sees_a_page_that_says_so(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody"))
    response = client.get("/", headers={"accept": "text/html"})
    assert response.status_code == 403
    assert "has no role that allows" in text_of(response)
    assert "Error 403" in text_of(response)


@pytest.mark.parametrize("role", list(Role))
def test_every_role_may_look_at_every_page(client_of: ClientOf, role: Role) -> None:
    scenario = make_scenario(12)
    client = client_of(role)
    for path in every_page(scenario):
        expected = 403 if "/new/" in path and role in {Role.VIEWER, Role.PUBLISHER} else 200
        assert client.get(path).status_code == expected, path


@pytest.mark.parametrize("devices", [None, 0, 12])
def test_pages_have_no_inline_code_and_no_id_twice_and_label_every_field(operator: Client, devices: int | None) -> None:
    """A strict Content-Security-Policy can be switched on."""
    paths = LISTS if devices is None else [*LISTS, "/models/digits/", "/rollouts/new/"]
    if devices is not None:
        scenario = make_scenario(devices)
        paths = every_page(scenario) if devices else paths
    for path in paths:
        page = Page(text_of(operator.get(path)))
        assert page.inline == [], path
        assert [name for name, times in page.ids.items() if times > 1] == [], path
        assert set(page.fields) <= page.labels, path
        assert page.open == [], path


def test_unknown_things_are_404_as_pages(operator: Client) -> None:
    make_scenario(0)
    for path in ("/models/nothing/", f"/rollouts/{NOBODY}/", f"/devices/{NOBODY}/", "/benchmarks/?model=x", "/x"):
        response = operator.get(path, headers={"accept": "text/html"})
        assert response.status_code == 404, path
        assert "Error 404" in text_of(response)


def test_empty_installation_says_how_to_publish_and_enroll(operator: Client) -> None:
    for path in ("/", "/models/", "/benchmarks/", "/rollouts/new/"):
        assert "smallfleet publish MODEL.onnx" in text_of(operator.get(path)), path
    for path in ("/", "/devices/"):
        assert "smallfleet enroll-token" in text_of(operator.get(path)), path
        assert "smallfleet agent enroll --token-file" in text_of(operator.get(path)), path
    # The agent refuses to send its credential in clear, except to its own machine.
    for own in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        assert "allow_insecure" not in text_of(operator.get("/devices/", headers={"host": own}))
    assert "allow_insecure = true" in text_of(operator.get("/devices/", headers={"host": "testserver"}))
    assert "allow_insecure" not in text_of(operator.get("/devices/", headers={"host": "testserver"}, secure=True))
    assert "No rollout yet" in text_of(operator.get("/rollouts/"))


def test_model_without_devices_has_a_table_and_no_chart(operator: Client) -> None:
    make_scenario(0)
    page = text_of(operator.get("/models/digits/"))
    assert "accuracy-cost-figures" not in page
    assert 'models = ["digits"]' in page
    assert "98.3 %" in page
    assert "plotly" not in page
    assert "Pareto" not in page


def test_overview_counts_devices_rollouts_bytes_and_troubles(viewer: Client) -> None:
    scenario = make_scenario(33)
    Device.objects.filter(pk=scenario.devices[0].pk).update(last_seen_at=None)
    page = text_of(viewer.get("/"))
    assert "31 <small>of 33</small>" in page
    assert "1 silent" in page
    assert "1 never heard" in page
    assert "18 succeeded" in page
    assert "3 under way" in page
    assert "6 waiting" in page
    assert "smoke: latency-above-limit" in page
    assert "packed 25.7 MB" in page  # 33 times 776,677 + 640


def test_model_page_reads_without_javascript(viewer: Client) -> None:
    make_scenario(12)
    page = text_of(viewer.get("/models/digits/"))
    assert "1.1.0 int8" in page
    assert "97.8 %" in page
    assert "12 by delta (1.5 MB)" in page  # 12 times 121,250 + 600
    assert "no measurement" in page
    assert "most of the fleet" in page
    assert "Roll out" not in page  # a viewer looks


def test_model_page_offers_operators_every_published_variant(operator: Client) -> None:
    scenario = make_scenario(3)
    page = text_of(operator.get("/models/digits/"))
    for variant in scenario.variants.values():
        assert f"/rollouts/new/?variant={variant.pk}" in page


def test_model_page_counts_patches_and_leads_to_their_matrix(viewer: Client) -> None:
    make_scenario(3)
    page = text_of(viewer.get("/models/digits/"))
    assert "<strong>11</strong> built · <strong>1</strong> planned" in page
    assert 'href="/models/digits/deltas/"' in page


def test_matrix_shows_bytes_share_effort_and_what_failed_and_why(viewer: Client) -> None:
    make_scenario(3)
    Patch.objects.filter(base=None, target__variants__name="fp16").update(
        state="failed", artifact=None, failure="the child ran out of memory"
    )
    page = text_of(viewer.get("/models/digits/deltas/"))
    assert "512.3 kB</span><small>56.7 % · max</small>" in page
    assert 'title="the child ran out of memory">failed</span>' in page
    assert '<td class="prose">the child ran out of memory</td>' in page
    assert "every device that holds it has a way as short" in page
    assert "3 devices" in page


def test_matrix_shows_what_was_built_for_older_versions_and_nothing_retired(viewer: Client) -> None:
    scenario = make_scenario(3)
    for number in range(3):
        version = Version.objects.create(
            model_line=scenario.line,
            version=f"0.{number}.0",
            contract=scenario.variants["1.0.0 fp32"].version.contract,
            state="published",
            published_at=timezone.now(),
        )
        version.variants.create(name="fp32", artifact=make_artifact(f"older {number}", 800_000))
    first, second, third = (Artifact.objects.get(sha256=sha(f"older {number}")) for number in range(3))
    for target, state in ((second, "failed"), (third, "retired")):
        Patch.objects.create(base=first, target=target, patch_format=BUILT_FORMAT, state=state, size_bytes=444_000)
    page = text_of(viewer.get("/models/digits/deltas/"))
    assert "0.1.0 fp32<small>800.0 kB raw" in page
    assert "0.2.0 fp32" not in page
    assert "0.0.0 fp32<small>0 devices" in page
    assert ">11 built · 2 planned · " in page  # those of the plan alone


def test_matrix_without_devices_has_the_packed_files(viewer: Client) -> None:
    make_scenario(0)
    page = text_of(viewer.get("/models/digits/deltas/"))
    assert "nothing (packed)<small>0 devices</small>" in page
    assert "86.0 % · max" in page


def test_matrix_of_a_line_without_versions_says_so(viewer: Client) -> None:
    ModelLine.objects.create(name="empty")
    assert "nothing is to be built" in text_of(viewer.get("/models/empty/deltas/"))
    assert viewer.get("/models/none/deltas/").status_code == 404


def test_plan_of_a_budget_is_shown_and_a_wrong_one_refused(viewer: Client) -> None:
    make_scenario(3)
    page = text_of(viewer.get("/models/digits/deltas/?budget_mb=0&budget_s=0"))
    assert ">over budget</span>" in page
    assert "left are 0 B and 0 s" in page
    refused = viewer.get("/models/digits/deltas/?budget_mb=-1")
    assert refused.status_code == 400
    assert "Store, MB: Ensure this value" in text_of(refused)


def test_qualities_are_chosen_by_metric_and_data_set(viewer: Client) -> None:
    scenario = make_scenario(3)
    variant = scenario.variants["1.1.0 int8"]
    variant.evaluations.create(metric="loss", value=0.125, sample_count=10, dataset_sha256="ab" * 32)
    assert "97.8 %" in text_of(viewer.get("/models/digits/"))
    page = text_of(viewer.get("/models/digits/?quality=loss:abababababab"))
    assert "0.125" in page
    assert "no evaluation" in page
    assert "Not on the chart, for want of an evaluation: 1.1.0 fp32" in page


def test_chart_stays_when_only_a_yanked_version_was_measured_on_another_data_set(viewer: Client) -> None:
    scenario = make_scenario(3)
    yanked = scenario.variants["1.1.0 int8"]
    others = [variant for variant in scenario.variants.values() if variant.version_id != yanked.version_id]
    for variant in scenario.variants.values():
        variant.evaluations.all().delete()
        data_set = "00" * 32 if variant.version_id == yanked.version_id else "ff" * 32
        variant.evaluations.create(metric="accuracy", value=0.9, sample_count=10, dataset_sha256=data_set)
    assert len(scenario.variants) > 2 * len(others) > 0  # else the order of the digests would not matter
    withdraw_version(yanked.version, "drifts")
    page = text_of(viewer.get("/models/digits/"))
    assert "accuracy-cost-figures" in page
    assert "ff" * 6 in page


def test_running_rollout_of_a_yanked_version_says_why_nothing_moves(viewer: Client) -> None:
    rollout = make_scenario(3).running
    assert rollout is not None
    page = f"/rollouts/{rollout.pk}/"
    assert "was yanked" not in text_of(viewer.get(page))
    withdraw_version(rollout.target.version)
    for address in (page, f"{page}live/"):
        assert "1.1.0 was yanked (wrong labels)" in text_of(viewer.get(address))


def test_devices_are_found_by_name_and_by_query_in_pages_of_fifty(viewer: Client) -> None:
    make_scenario(120)
    first = text_of(viewer.get("/devices/"))
    assert "120 devices" in first
    assert "Page 1 of 3" in first
    assert first.count('<th scope="row">') == 50
    assert "gate-00119" in text_of(viewer.get("/devices/?page=3"))
    assert "1 device found" in text_of(viewer.get("/devices/?q=gate-00042"))
    assert "40 devices found" in text_of(viewer.get("/devices/?q=site%3Dberlin"))
    assert "30 devices found" in text_of(viewer.get("/devices/?q=device_class%3Dpi5"))
    both = text_of(viewer.get("/devices/?q=site%3Dberlin,device_class!%3Dpi4&page=1"))
    assert "30 devices found" in both
    assert "No device matches" in text_of(viewer.get("/devices/?q=nothing"))


def test_query_that_cannot_be_read_is_told_beside_the_field(viewer: Client) -> None:
    make_scenario(3)
    response = viewer.get("/devices/?q=9%3D")
    assert response.status_code == 400
    assert "has no valid key" in text_of(response)


def test_page_links_keep_the_search(viewer: Client) -> None:
    make_scenario(60)
    assert 'href="?q=gate&amp;page=2"' in text_of(viewer.get("/devices/?q=gate"))


def test_device_page_tells_what_happened(viewer: Client) -> None:
    scenario = make_scenario(12)
    failed = scenario.devices[3]
    page = text_of(viewer.get(f"/devices/{failed.pk}/"))
    for said in (
        "gate-00003",
        "lte-roaming",
        "smoke: latency-above-limit",
        "digits → 1.1.0 fp32 by delta",
        "512.9 kB counted by the agent, 512.3 kB by the server",
        "latency-above-limit",
        "permanent yes",
        "not measured",
    ):
        assert said in page, said


def test_names_from_devices_cannot_become_markup(viewer: Client) -> None:
    scenario = make_scenario(1)
    Device.objects.update(name="<script>alert(1)</script>", attributes={"<b>site": "<img src=x>"})
    for path in (
        "/devices/",
        f"/devices/{scenario.devices[0].pk}/",
        f"/rollouts/{Rollout.objects.get(state='running').pk}/",
    ):
        page = text_of(viewer.get(path))
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "&lt;script&gt;alert" in page


def test_unknown_artifact_is_shown_by_its_digest(viewer: Client) -> None:
    scenario = make_scenario(1)
    scenario.devices[0].installations.update(current=None, current_sha256="c0ffee" + "0" * 58)
    for path in ("/", "/devices/", f"/devices/{scenario.devices[0].pk}/", "/models/digits/"):
        assert "unknown c0ffee000000…" in text_of(viewer.get(path)), path


def test_rollout_page_tells_what_shadow_runs_found(viewer: Client) -> None:
    scenario = make_scenario(12)
    assert scenario.running
    address = f"/rollouts/{scenario.running.pk}/"
    assert "1.6 % differ, 1.02 × the time" in text_of(viewer.get(address))  # noqa: RUF001 - as the page has it
    Event.objects.filter(kind="shadowed").update(detail={"disagreement": None, "why_not": "no-inputs", "vetoed": True})
    page = text_of(viewer.get(address))
    assert "not compared: no-inputs" in page
    assert '<span class="state failed">vetoed</span>' in page


def test_benchmarks_show_invalid_runs_and_leave_them_out_of_every_figure(viewer: Client) -> None:
    scenario = make_scenario(0)
    line, (device,) = scenario.line, make_fleet(1, line=scenario.line)
    artifact = scenario.variants["1.1.0 fp32"].artifact
    store_runs([made_run(device, line, artifact, p50_ns=99_000_000, validity="invalid", failed_rules=["cpu_share"])])
    page = text_of(viewer.get("/benchmarks/"))
    assert "no run that counts" in page
    assert "cpu_share" in page
    assert "kept, and in no figure above" in page
    assert page.count("99.0 ms") == 1  # struck out, among the invalid ones


def test_benchmarks_never_put_two_configurations_into_one_table(viewer: Client) -> None:
    scenario = make_scenario(0)
    artifact, devices = scenario.variants["1.1.0 fp32"].artifact, make_fleet(2, line=scenario.line)
    store_runs(made_run(each, scenario.line, artifact, p50_ns=4_000_000) for each in devices)
    store_runs(
        made_run(each, scenario.line, artifact, p50_ns=1_500_000, configuration="device-default") for each in devices
    )
    canonical = text_of(viewer.get("/benchmarks/"))
    assert "4.00 ms" in canonical
    assert "1.50 ms" not in canonical
    default = text_of(viewer.get("/benchmarks/?configuration=device-default"))
    assert "1.50 ms" in default
    assert "4.00 ms" not in default
    assert "4.00 ms" in text_of(viewer.get("/models/digits/"))  # of the canonical one alone


def test_benchmarks_flag_a_smaller_model_that_is_slower(viewer: Client) -> None:
    make_scenario(40)
    page = text_of(viewer.get("/benchmarks/"))
    assert "They prefer different variants" in page
    pair = page[page.index("They prefer different variants") :].split("</tr>")[1]
    assert '<th scope="row">1.1.0 int8</th>' in pair
    assert "0.27 x the bytes of the file" in pair
    assert "x the median latency (" in pair
    assert "31.0 M" in page  # MACs
    # 31 M fp32 MACs at 4.6 pJ; 31 M int8 at 0.3 pJ: both fit the chip
    assert "143 µJ" in page
    assert "9.30 µJ" in page


def test_rollout_page_has_forecast_ledger_and_failures_first(viewer: Client) -> None:
    scenario = make_scenario(33)
    assert scenario.running
    page = text_of(viewer.get(f"/rollouts/{scenario.running.pk}/"))
    assert "18 of 33 run the target" in page
    assert "16.9 MB" in page  # forecast: 33 times 512,900
    assert "12.7 MB" in page  # agents: 24 times 512,940 and 3 times 120,640
    assert "3 rolled back" in page
    assert page.index(">failed</span>") < page.index(">rolled-back</span>") < page.index(">succeeded</span>")
    assert "Pause" not in page  # a viewer looks


def test_rollout_of_a_draft_forecasts_with_todays_fleet(viewer: Client) -> None:
    scenario = make_scenario(3)
    assert scenario.draft
    page = text_of(viewer.get(f"/rollouts/{scenario.draft.pk}/"))
    assert "Forecast of today" in page
    assert "Not started: installations join when it is" in page


def test_device_page_names_equal_bytes_by_the_version_that_was_wanted(viewer: Client) -> None:
    scenario = make_scenario(3)
    wanted = scenario.variants["1.1.0 fp32"]
    newer = Version.objects.create(
        model_line=scenario.line,
        version="1.2.2",
        contract=wanted.version.contract,
        sample_set=wanted.version.sample_set,
        state=Version.State.PUBLISHED,
        published_at=timezone.now(),
    )
    newer.variants.create(name="fp32", artifact=wanted.artifact)
    there = Installation.objects.filter(target=wanted, current=wanted.artifact).first()
    assert there is not None
    assert there.device.installations.get().attempts.filter(target=wanted.artifact).exists()
    page = text_of(viewer.get(f"/devices/{there.device_id}/"))
    assert page.count("1.1.0 fp32") >= 3  # runs, should run, and the attempt
    assert "1.2.2" not in page
