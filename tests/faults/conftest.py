"""A stand-in server and an enrolled device."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import disk
from tests.agent.device import Device, SteadyClock
from tests.agent.standin import StandIn, stand_in


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture
def device(server: StandIn, tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path / "device", server, SteadyClock())
    made.root.mkdir()
    made.configure()
    made.enroll()
    yield made
    disk.inject("")
