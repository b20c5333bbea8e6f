"""The server's side of a simulation: what a fleet needs there before it starts, asked of the REST API as any operator would.

A run of its own name: its devices carry it as the attribute `simulation`, its group selects them by that, and its rollout goes to that
group alone. So a simulation on a server with real devices leaves those in peace.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from client.errors import ConfigError
from client.rest import Json, RestClient
from client.simulate.device import Holding
from client.simulate.links import LinkProfile

ATTRIBUTE = "simulation"
TOKEN_LIFE = timedelta(hours=24)
SPARE_USES = 10
PATCHES_TIMEOUT_S = 600.0
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Variant:
    """One published variant, as a target or as what devices hold."""

    version: str
    name: str
    sha256: str
    size_bytes: int
    contract: str
    sample_set: str | None

    def as_holding(self) -> Holding:
        return Holding(self.sha256, self.contract, self.sample_set)


@dataclass(frozen=True, slots=True)
class Ground:
    """What was made on the server for one run. `prices` are those that the server counts with, by link class."""

    rest: RestClient
    model: str
    name: str
    tokens: Mapping[str, str]
    prices: Mapping[str, Decimal]


def find_variant(rest: RestClient, model: str, text: str) -> Variant:
    """The variant that `VERSION/VARIANT` names.

    Raises:
        ConfigError: the text is no such name.
        Refused: the server has none.
    """
    version, slash, name = text.partition("/")
    if not slash:
        raise ConfigError(f"expected VERSION/VARIANT such as 1.1.0/int8, got {text!r}")
    found = rest.get(f"models/{model}/versions/{version}")
    variant = next((one for one in found["variants"] if one["name"] == name), None)
    if variant is None:
        names = ", ".join(sorted(one["name"] for one in found["variants"]))
        raise ConfigError(f"{model} {version} has no variant {name!r}; it has {names or 'none'}")
    samples = found["sample_set"]
    return Variant(
        version=version,
        name=name,
        sha256=variant["sha256"],
        size_bytes=variant["size_bytes"],
        contract=found["contract"]["sha256"],
        sample_set=None if samples is None else samples["sha256"],
    )


def prepare(rest: RestClient, model: str, links: Mapping[LinkProfile, int]) -> Ground:
    """Make link classes, enrollment tokens and a group for a run; a link class that is there keeps its price."""
    name = f"simulation-{secrets.token_hex(4)}"
    prices = {profile.name: _link_class(rest, profile) for profile in links}
    expires_at = (datetime.now(UTC) + TOKEN_LIFE).isoformat()
    tokens = {
        profile.name: rest.post(
            "enrollment-tokens",
            {
                "name": f"{name} {profile.name}",
                # An enrollment whose answer is lost takes a use that no device has.
                "uses": uses + uses // 10 + SPARE_USES,
                "expires_at": expires_at,
                "link_class": profile.name,
                "attributes": {ATTRIBUTE: name},
            },
        )["token"]
        for profile, uses in links.items()
    }
    rest.post("groups", {"name": name, "query": f"{ATTRIBUTE}={name}"})
    return Ground(rest, model, name, tokens, prices)


def _link_class(rest: RestClient, profile: LinkProfile) -> Decimal:
    """The price of the link class, which is made where there is none."""
    known = rest.find(f"link-classes/{profile.name}")
    if known is None:
        known = rest.post(
            "link-classes",
            {"name": profile.name, "price_per_mb": str(profile.price_per_mb), "metered": profile.metered},
        )
    return Decimal(known["price_per_mb"])


@dataclass(slots=True)
class Started:
    """A rollout that runs, and what it was expected to cost."""

    rollout: str
    forecast: Json
    currency: str


def start_rollout(ground: Ground, target: Variant, say: Callable[[str], None]) -> Started:
    """Roll out to the run's group, once the patches that its devices need are built: then the forecast is exact.

    Raises:
        Refused: the server does not want it.
        ConfigError: no worker built the patches in time.
    """
    rest = ground.rest
    plan = {"model": ground.model, "version": target.version, "variant": target.name, "group": ground.name}
    rollout = str(rest.post("rollouts", plan)["id"])
    cost, deadline = _cost(ground, target), time.monotonic() + PATCHES_TIMEOUT_S
    while cost["is_upper_bound"]:
        if time.monotonic() > deadline:
            raise ConfigError(
                f"the patches to {target.version} {target.name} were not built in {PATCHES_TIMEOUT_S:.0f} s: does a worker run?"
            )
        time.sleep(LOOK_EVERY_S)
        cost = _cost(ground, target)
    rest.post(f"rollouts/{rollout}/start")
    say(f"rollout {rollout} to group {ground.name}: the forecast is {cost['bytes_total']:,} bytes")
    return Started(rollout, cost, cost["currency"])


def _cost(ground: Ground, target: Variant) -> Json:
    costs = ground.rest.get(f"models/{ground.model}/costs", group=ground.name)
    row = next(row for row in costs["variants"] if (row["version"], row["variant"]) == (target.version, target.name))
    return {**row, "currency": costs["currency"]}
