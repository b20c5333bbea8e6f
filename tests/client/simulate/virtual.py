"""One virtual device beside the stand-in server of the agent's own tests."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.config import Bench, Config, Policy
from client.simulate.clock import Coverage, VirtualClock
from client.simulate.device import Holding, VirtualAgent
from client.simulate.line import Fate
from client.simulate.links import LinkProfile
from client.simulate.traffic import Traffic
from client.simulate.transport import Link, LinkedClient
from tests.agent.models import Release
from tests.agent.standin import CREDENTIAL, StandIn, sha256

PERFECT = LinkProfile(
    name="perfect",
    down_bytes_per_s=1_000_000,
    up_bytes_per_s=1_000_000,
    round_trip_s=0.0,
    mtu_bytes=1_500,
    connect_bytes=0,
    price_per_mb=Decimal(0),
    metered=False,
    loss=0.0,
    offline=0.0,
    offline_s=3_600,
)


@dataclass(slots=True)
class Virtual:
    """A device and what it put on its link."""

    agent: VirtualAgent
    clock: VirtualClock
    client: LinkedClient
    traffic: Traffic

    def cycles(self, most: int = 50) -> int:
        """Cycle until it rests, sleeping as long as it wants in its own time; how many cycles that took."""
        for cycle in range(1, most + 1):
            ended = self.agent.cycle()
            if self.agent.is_at_rest:
                return cycle
            self.clock.advance(ended.delay_s)
        raise AssertionError(f"still busy after {most} cycles: {self.agent.line}")


def holding_of(release: Release) -> Holding:
    return Holding(*(sha256(part) for part in (release.model, release.contract, release.samples)))


def virtual(
    server: StandIn,
    *,
    holding: Holding | None = None,
    fate: Fate | None = None,
    seed: int = 1,
    report: dict[str, Any] | None = None,
    **link: Any,
) -> Virtual:
    """A device on a link that is perfect but for what `link` changes of it."""
    draw, profile, traffic = random.Random(seed), replace(PERFECT, **link), Traffic()
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC), draw)
    client = LinkedClient(
        server.url, Link(profile, Coverage(profile, draw), draw, clock, traffic), timeout_s=30, tls=None
    )
    client.credential, client.is_on_link = CREDENTIAL, True
    config = Config(
        server=server.url,
        state_dir=Path("/nowhere"),
        name="gate-7",
        device_class="pi5",
        models=("digits",),
        policy=Policy(retry_failed_s=0),
        bench=Bench(enabled=report is not None),
    )
    agent = VirtualAgent(config, client, clock, holding=holding or Holding(), fate=fate or Fate(), report=report)
    return Virtual(agent, clock, client, traffic)
