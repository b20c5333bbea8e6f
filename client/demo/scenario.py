"""What the demo does, step by step, and what it observes; it says it as it goes and leaves the ends of processes to its caller."""

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from client.demo.models import LINE, MODELS, STEPS, DemoModel
from client.processes import ChildFailedError
from client.rest import Json, RestClient
from client.stack import Stack, StackDevice

STEP_TIMEOUT_S = 180.0
MODEL_WAYS = ("delta", "packed", "raw")


@dataclass(frozen=True, slots=True)
class DemoDevice:
    """A device of the demo and what its link costs; the agent keeps to the rate."""

    name: str
    link_class: str
    price_per_mb: str
    metered: bool
    rate_limit_bytes_per_s: int


DEVICES = (
    DemoDevice("gate-1", "ethernet", "0", metered=False, rate_limit_bytes_per_s=12_500_000),
    DemoDevice("truck-7", "lte-m", "4.00", metered=True, rate_limit_bytes_per_s=250_000),
    DemoDevice("buoy-3", "satellite", "60.00", metered=True, rate_limit_bytes_per_s=100_000),
)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one device did in one step.

    Attributes:
        way: how the model came; several joined by `+` where one failed.
        wire_bytes: HTTP bytes in both directions, headers, contract and sample set included, as the agent counted them.
        raw_share: of those in the size of the plain model file.
        p50_latency_ns: measured on the device after activation; None where no report came.
        accuracy: of the variant, as it was published.
    """

    device: str
    link_class: str
    version: str
    variant: str
    way: str
    wire_bytes: int
    raw_share: float
    money: str
    currency: str
    p50_latency_ns: int | None
    validity: str | None
    accuracy: float


def run(stack: Stack, say: Callable[[str], None]) -> list[Observation]:
    """Publish, enroll and roll out; what every device did in every step.

    Raises:
        ChildFailedError: a rollout did not finish, or a process died.
        ClientError: the server refused something.
    """
    with stack.rest() as rest:
        stack.trust(LINE)
        say(f"trust for {LINE}: keys, a root and a signed list in {stack.home / 'trust' / LINE}")
        _publish(stack, "1.0.0", say)
        devices = [_enroll(stack, rest, device) for device in DEVICES]
        for device in devices:
            stack.start_agent(device)
        _wait(stack, "the agents to be heard", lambda: _heard(rest) == len(DEVICES))
        say(f"{len(DEVICES)} agents run and were heard: " + ", ".join(f"{d.name} ({d.link_class})" for d in DEVICES))
        observed: list[Observation] = []
        published = {"1.0.0"}
        for step in STEPS:
            if step.version not in published:
                _publish(stack, step.version, say)
                published.add(step.version)
            observed += _roll_out(stack, rest, step, say)
        return observed


def _publish(stack: Stack, version: str, say: Callable[[str], None]) -> None:
    for model in MODELS:
        if model.version == version:
            published = stack.cli_json("publish", *model.publish_arguments())
            say(
                f"published {LINE} {version} {model.variant}: {published['size_bytes']:,} bytes, "
                f"accuracy {model.measured['value']:.4f} on {model.measured['sample_count']} held-out images"
            )


def _enroll(stack: Stack, rest: RestClient, device: DemoDevice) -> StackDevice:
    rest.post(
        "link-classes",
        {
            "name": device.link_class,
            "price_per_mb": device.price_per_mb,
            "metered": device.metered,
            "rate_limit_bytes_per_s": device.rate_limit_bytes_per_s,
        },
    )
    options = (
        "poll_interval_s = 0.5\n"
        f"[download]\nrate_limit_bytes_per_s = {device.rate_limit_bytes_per_s}\n"
        '[bench]\ntier = "smoke"\n'
    )
    return stack.enroll(
        device.name,
        models=(LINE,),
        device_class=platform.machine(),
        link_class=device.link_class,
        options=options,
    )


def _heard(rest: RestClient) -> int:
    """How many devices have said what they hold."""
    devices = (rest.get(f"devices/{device['id']}") for device in rest.pages("devices"))
    return sum(bool(device["installations"]) for device in devices)


def _roll_out(stack: Stack, rest: RestClient, step: DemoModel, say: Callable[[str], None]) -> list[Observation]:
    name = f"{step.version} {step.variant}"
    # As a draft first: it asks for the patches, and once they are built the forecast is exact.
    rollout_id = str(rest.post("rollouts", {"model": LINE, "version": step.version, "variant": step.variant})["id"])
    _wait(stack, f"the patches to {name}", lambda: not _cost(rest, step)["is_upper_bound"])
    cost = _cost(rest, step)
    say(
        f"rolling out {name}: the forecast is {cost['bytes_total']:,} bytes, {_money(cost['money_total'])} {cost['currency']}"
    )
    rest.post(f"rollouts/{rollout_id}/start")
    _wait(stack, f"the rollout of {name}", lambda: _closed(rest, rollout_id))
    _wait(stack, f"the reports on {name}", lambda: len(_reports(rest, cost["sha256"])) == len(DEVICES))
    ledger = rest.get(f"rollouts/{rollout_id}/ledger")
    say(
        f"rolled out {name}: {ledger['agent_bytes']:,} bytes on the wire, {_money(ledger['money'])} {ledger['currency']}"
    )
    return _observe(step, cost, ledger, _reports(rest, cost["sha256"]))


def _cost(rest: RestClient, step: DemoModel) -> Json:
    """The forecast of the step for today's fleet, with its currency."""
    costs = rest.get(f"models/{LINE}/costs")
    rows = {(row["version"], row["variant"]): row for row in costs["variants"]}
    return {**rows[step.version, step.variant], "currency": costs["currency"]}


def _closed(rest: RestClient, rollout_id: str) -> bool:
    """Whether the rollout is finished.

    Raises:
        ChildFailedError: a device failed or went back.
    """
    rollout = rest.get(f"rollouts/{rollout_id}")
    progress = rollout["progress"]
    if progress["failed"] or progress["rolled_back"]:
        raise ChildFailedError(f"the rollout {rollout_id} did not go through everywhere: {progress}")
    return bool(rollout["state"] == "finished")


def _reports(rest: RestClient, sha256: str) -> dict[str, Json]:
    """The newest report on an artifact by device name, in the configuration that compares over devices."""
    newest: dict[str, Json] = {}
    for report in rest.pages("reports", model=LINE, whole="no"):
        if report["sha256"] == sha256 and report["configuration"] == "canonical":
            newest.setdefault(report["device_name"], report)
    return newest


def _observe(step: DemoModel, cost: Json, ledger: Json, reports: dict[str, Json]) -> list[Observation]:
    spent = {row["device"]: row for row in ledger["by_device"]}
    observed = []
    for device in DEVICES:
        row, report = spent[device.name], reports.get(device.name, {})
        observed.append(
            Observation(
                device=device.name,
                link_class=device.link_class,
                version=step.version,
                variant=step.variant,
                way="+".join(way for way in MODEL_WAYS if way in row["ways"]),
                wire_bytes=row["agent_bytes"],
                raw_share=row["agent_bytes"] / cost["size_bytes"],
                money=row["money"],
                currency=ledger["currency"],
                p50_latency_ns=report.get("p50_latency_ns"),
                validity=report.get("validity"),
                accuracy=step.measured["value"],
            )
        )
    return observed


def _wait(stack: Stack, what: str, done: Callable[[], bool], *, timeout_s: float = STEP_TIMEOUT_S) -> None:
    """Wait until `done()`, as long as every process lives.

    Raises:
        ChildFailedError: a process ended, or the time did.
    """
    deadline = time.monotonic() + timeout_s
    while not done():
        stack.children.require_alive()
        if time.monotonic() > deadline:
            raise ChildFailedError(f"waited {timeout_s:.0f} s for {what}; the logs are in {stack.children.logs}")
        time.sleep(0.2)


def as_rows(observed: list[Observation]) -> list[dict[str, Any]]:
    """The observations as JSON has them."""
    return [asdict(one) for one in observed]


def _money(amount: str) -> str:
    return f"{Decimal(amount):.2f}"
