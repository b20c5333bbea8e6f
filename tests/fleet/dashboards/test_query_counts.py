"""A page costs as many queries with 300 devices as with 3."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleet.rollouts.models import Rollout
from tests.factories.scenario import Scenario, make_line, make_scenario

# Page -> the most queries it may cost, session and person included.
BOUNDS = {
    "/": 16,
    "/models/": 7,
    "/models/digits/": 34,  # two of them of trust
    "/models/digits/deltas/": 24,
    "/rollouts/": 8,
    "/rollouts/new/?variant={variant}": 24,
    "/rollouts/{running}/": 17,
    "/devices/": 9,
    "/devices/?q=site%3Dberlin": 9,
    "/devices/{device}/": 16,
    "/benchmarks/": 10,
}


def addresses(scenario: Scenario) -> list[str]:
    assert scenario.running
    names = {
        "variant": scenario.variants["1.1.0 int8"].pk,
        "running": scenario.running.pk,
        "device": scenario.devices[0].pk,
    }
    return [path.format(**names) for path in BOUNDS]


@pytest.mark.parametrize("devices", [3, 300])
def test_queries_do_not_grow_with_the_fleet(operator: Client, devices: int) -> None:
    """Nor with the number of rollouts and model lines."""
    scenario = make_scenario(devices)
    for number in range(devices // 15):
        Rollout.objects.create(
            target=make_line(f"line-{number}")["1.1.0 fp32"], state="running", started_at=timezone.now()
        )
    for path, bound in zip(addresses(scenario), BOUNDS.values(), strict=True):
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(path).status_code == 200
        assert len(queries) <= bound, f"{path}: {len(queries)} queries"
