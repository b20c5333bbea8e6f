"""Making the devices of a run, and enrolling them by the real wire."""

import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.config import Bench, Config
from agent.errors import AgentError
from agent.http import Client
from client.errors import ServerError
from client.simulate.clock import Coverage, VirtualClock
from client.simulate.device import Holding, VirtualAgent
from client.simulate.line import Fate
from client.simulate.links import LinkProfile, deal
from client.simulate.patience import patiently
from client.simulate.server import Ground
from client.simulate.simulation import Member
from client.simulate.traffic import Traffic
from client.simulate.transport import Link, LinkedClient

DEVICE_CLASS = "simulated"
SAY_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fleet is like. Shares are of all devices; devices that fail are other ones for each kind of failure."""

    devices: int
    links: Mapping[LinkProfile, float]
    holdings: Mapping[Holding, float]
    smoke_failures: float
    unhealthy: float
    bad_patches: float
    poll_interval_s: float | None
    seed: int


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One device before it is enrolled."""

    index: int
    profile: LinkProfile
    holding: Holding
    fate: Fate


def draw_up(plan: Plan) -> list[Blueprint]:
    """Every device of the plan; the same for the same seed."""
    draw = random.Random(plan.seed)
    profiles = deal(plan.links, plan.devices, draw)
    holdings = deal(plan.holdings, plan.devices, draw)
    sound = max(0.0, 1 - plan.smoke_failures - plan.unhealthy - plan.bad_patches)
    fates = deal(
        {
            Fate(): sound,
            Fate(smoke_fails=True): plan.smoke_failures,
            Fate(is_unhealthy=True): plan.unhealthy,
            Fate(patches_fail=True): plan.bad_patches,
        },
        plan.devices,
        draw,
    )
    rows = zip(profiles, holdings, fates, strict=True)
    return [Blueprint(index, *row) for index, row in enumerate(rows)]


@dataclass(frozen=True, slots=True)
class Yard:
    """Where devices are made: the same for all of a run."""

    server: str
    ground: Ground
    plan: Plan
    traffic: Traffic
    report: Mapping[str, Any] | None
    epoch: datetime
    tls: ssl.SSLContext | None

    @classmethod
    def open(cls, server: str, ground: Ground, plan: Plan, report: Mapping[str, Any] | None) -> "Yard":
        tls = ssl.create_default_context() if server.startswith("https:") else None
        return cls(server, ground, plan, Traffic(), report, datetime.now(UTC), tls)

    def enroll_all(self, blueprints: Sequence[Blueprint], connections: int, say: Callable[[str], None]) -> list[Member]:
        """Enroll every device and let it say what it has.

        Raises:
            ServerError: the server refused one, or could not be reached.
        """
        members: list[Member] = []
        with ThreadPoolExecutor(connections, thread_name_prefix="enroll") as pool:
            for member in pool.map(self._enroll, blueprints):
                members.append(member)
                if len(members) % SAY_EVERY == 0:
                    say(f"{len(members):,} of {len(blueprints):,} devices enrolled")
        return members

    def _enroll(self, blueprint: Blueprint) -> Member:
        draw = random.Random(f"{self.plan.seed}/{blueprint.index}")
        config = self._config(blueprint)
        member = self._member(blueprint, config, draw)
        client = member.device.client
        try:
            client.credential = patiently(lambda: self._credential(client, blueprint, config))
            # Every device polls in a rhythm of its own, and has done so for long.
            member.due_s = draw.uniform(0, patiently(member.device.introduce))
        except AgentError as error:
            raise ServerError(f"device {config.name} was not taken in: {error}") from error
        finally:
            client.close()
        client.is_on_link = True
        return member

    def _credential(self, client: Client, blueprint: Blueprint, config: Config) -> str:
        token = self.ground.tokens[blueprint.profile.name]
        wish = {
            "token": token,
            "name": config.name,
            "device_class": config.device_class,
            "attributes": dict(config.attributes),
        }
        answer = client.call("POST", "enroll", document=wish).json()
        if not isinstance(answer, dict) or not isinstance(answer.get("credential"), str):
            raise ServerError(f"{self.server} did not answer an enrollment with a credential")
        return str(answer["credential"])

    def _config(self, blueprint: Blueprint) -> Config:
        return Config(
            server=self.server,
            state_dir=Path("/nowhere"),
            name=f"{self.ground.name}-{blueprint.index:05d}",
            device_class=DEVICE_CLASS,
            models=(self.ground.model,),
            poll_interval_s=self.plan.poll_interval_s,
            allow_insecure=True,
            attributes=MappingProxyType({"link": blueprint.profile.name}),
            bench=Bench(enabled=self.report is not None),
        )

    def _member(self, blueprint: Blueprint, config: Config, draw: random.Random) -> Member:
        clock = VirtualClock(self.epoch, draw)
        profile = blueprint.profile
        link = Link(profile, Coverage(profile, draw), draw, clock, self.traffic)
        client = LinkedClient(self.server, link, timeout_s=config.download.timeout_s, tls=self.tls)
        device = VirtualAgent(config, client, clock, holding=blueprint.holding, fate=blueprint.fate, report=self.report)
        return Member(blueprint.index, profile.name, device, clock, due_s=None)
