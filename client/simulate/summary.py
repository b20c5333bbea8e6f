"""What came of a simulation, as one document and as text.

`fleet` follows from the seed alone, `checks` compare it with what the server says, and `server` and `simulator` are measured: they
differ from run to run.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from client.output import format_table
from client.rest import Json
from client.simulate.assembly import Plan
from client.simulate.server import Ground, Started
from client.simulate.simulation import Member, Simulation
from client.simulate.traffic import Kind, Traffic, percentile

SCHEMA = "smallfleet-simulation/1"
SHARES = (0.5, 0.9, 0.99)
BYTES_PER_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Clockwork:
    """What a run took in reality."""

    enroll_s: float
    run_s: float
    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a summary is made of."""

    plan: Plan
    ground: Ground
    started: Started
    traffic: Traffic
    simulation: Simulation
    clockwork: Clockwork

    @property
    def members(self) -> Sequence[Member]:
        return self.simulation.members

    def document(self) -> Json:
        """The summary, with the server's books beside it."""
        return {
            "schema": SCHEMA,
            "plan": self._plan(),
            "fleet": self._fleet(),
            "checks": self._checks(),
            "server": self._server(),
            "simulator": self._simulator(),
        }

    def _plan(self) -> Json:
        plan = self.plan
        return {
            "devices": plan.devices,
            "seed": plan.seed,
            "links": {profile.name: share for profile, share in plan.links.items()},
            "smoke_failures": plan.smoke_failures,
            "unhealthy": plan.unhealthy,
            "bad_patches": plan.bad_patches,
            "poll_interval_s": plan.poll_interval_s,
        }

    # --- What follows from the seed ---------------------------------------------------------------------------------

    def _fleet(self) -> Json:
        traffic, told = self.traffic, self.traffic.told
        updated = sorted(member.updated_s for member in self.members if member.updated_s is not None)
        failed = sum(self._has_failed(member) for member in self.members)
        return {
            "devices": len(self.members),
            "up_to_date": len(updated),
            "failed": failed - told["rolled_back"],
            "rolled_back": told["rolled_back"],
            "waiting": len(self.members) - len(updated) - failed,
            "virtual_s": round(self.simulation.virtual_s, 3),
            "updated_after_s": {f"{share:.0%}": self._reached(updated, share) for share in SHARES},
            "attempts": told["started"],
            "fallbacks": told["fallback"],
            "resumes": traffic.resumes,
            "cuts": dict(sorted(traffic.cuts.items())),
            "cycles": sum(member.cycles for member in self.members),
            "troubled_cycles": sum(member.troubled_cycles for member in self.members),
            "events": dict(sorted(told.items())),
            "reports": sum(member.device.outbox.made_reports for member in self.members),
            "requests": self._requests(),
            "answers": {f"{kind} {status}": many for (kind, status), many in sorted(traffic.statuses.items())},
            "peak_requests_per_s": max(traffic.per_second.values(), default=0),
            "links": self._links(),
            "ledger": self._ledger(),
        }

    def _has_failed(self, member: Member) -> bool:
        line = member.device.line
        permanently = (one for one in line.failures if one.sha256 == self.simulation.target and one.permanent)
        return line.current != self.simulation.target and any(permanently)

    def _reached(self, updated: Sequence[float], share: float) -> float | None:
        """Virtual seconds until that share of all devices was up to date; None where it never was."""
        wanted = math.ceil(len(self.members) * share)
        return round(updated[wanted - 1], 1) if 0 < wanted <= len(updated) else None

    def _requests(self) -> Json:
        requests: Counter[str] = Counter()
        for (_link, kind), spent in self.traffic.by_link.items():
            requests[kind] += spent.requests
        return dict(sorted(requests.items()))

    def _links(self) -> list[Json]:
        """What each link carried, by kind of request; `money` is for all its bytes, packet headers included."""
        devices = Counter(member.link for member in self.members)
        rows = []
        for (link, kind), spent in sorted(self.traffic.by_link.items()):
            money = self.ground.prices[link] * spent.link_bytes / BYTES_PER_MB
            rows.append(
                {
                    "link": link,
                    "devices": devices[link],
                    "kind": str(kind),
                    "requests": spent.requests,
                    "http_bytes": spent.http_bytes,
                    "link_bytes": spent.link_bytes,
                    "money": f"{money:.4f}",
                }
            )
        return rows

    def _ledger(self) -> Json:
        """What the ledger should hold: HTTP bytes of artifacts by link and way, and their money."""
        rows = []
        for (link, way), spent in sorted(self.traffic.ledger.items()):
            money = self.ground.prices[link] * spent.http_bytes / BYTES_PER_MB
            rows.append(
                {
                    "link": link,
                    "way": way,
                    "requests": spent.requests,
                    "bytes": spent.http_bytes,
                    "money": f"{money:.4f}",
                }
            )
        return {
            "bytes": sum(row["bytes"] for row in rows),
            "money": f"{self._ledger_money():.4f}",
            "currency": self.started.currency,
            "forecast_bytes": self.started.forecast["bytes_total"],
            "forecast_money": f"{Decimal(self.started.forecast['money_total']):.4f}",
            "by_link_and_way": rows,
        }

    def _ledger_money(self) -> Decimal:
        spent = self.traffic.ledger.items()
        return sum(
            (self.ground.prices[link] * one.http_bytes / BYTES_PER_MB for (link, _way), one in spent), Decimal(0)
        )

    # --- What the server says of it ---------------------------------------------------------------------------------

    def _checks(self) -> Json:
        """Figures that two sides have counted each for itself."""
        rest, rollout = self.ground.rest, self.started.rollout
        ledger = rest.get(f"rollouts/{rollout}/ledger")
        progress = rest.get(f"rollouts/{rollout}")["progress"]
        told = self.traffic.told
        by_way: dict[str, Counter[str]] = {"bytes": Counter(), "requests": Counter()}
        for (_link, way), spent in self.traffic.ledger.items():
            by_way["bytes"][way] += spent.http_bytes
            by_way["requests"][way] += spent.requests
        kept = {row["way"]: row for row in ledger["by_way"]}
        pairs = {
            "ledger bytes": (sum(by_way["bytes"].values()), ledger["agent_bytes"]),
            "ledger requests": (sum(by_way["requests"].values()), ledger["requests"]),
            "ledger money": (f"{self._ledger_money():.6f}", f"{Decimal(ledger['money']):.6f}"),
            **{
                f"bytes by {way}": (many, kept.get(way, {}).get("agent_bytes")) for way, many in by_way["bytes"].items()
            },
            "events": (told.total(), self.traffic.verdicts[Kind.EVENTS].accepted),
            "reports": (
                sum(member.device.outbox.made_reports for member in self.members),
                self.traffic.verdicts[Kind.REPORTS].accepted,
            ),
            "devices activated": (told["activated"], progress["succeeded"]),
            "devices failed": (self._devices_failed(), progress["failed"]),
            "devices rolled back": (told["rolled_back"], progress["rolled_back"]),
        }
        return {
            name: {"simulated": ours, "server": theirs, "equal": ours == theirs}
            for name, (ours, theirs) in sorted(pairs.items())
        }

    def _devices_failed(self) -> int:
        return sum(self._has_failed(member) for member in self.members) - self.traffic.told["rolled_back"]

    # --- What is measured -------------------------------------------------------------------------------------------

    def _server(self) -> Json:
        times = {kind: sorted(values) for kind, values in sorted(self.traffic.answer_s.items())}
        requests = sum(len(values) for values in times.values())
        return {
            "url": self.ground.rest.server,
            "requests": requests,
            "requests_per_s": round(requests / max(self.clockwork.run_s, 1e-9), 1),
            "enrolled_per_s": round(len(self.members) / max(self.clockwork.enroll_s, 1e-9), 1),
            "answer_ms": {
                str(kind): {
                    "n": len(values),
                    **{f"p{share * 100:g}": _ms(percentile(values, share)) for share in SHARES},
                }
                for kind, values in times.items()
            },
        }

    def _simulator(self) -> Json:
        clockwork = self.clockwork
        return {
            "wall_s": round(clockwork.run_s, 1),
            "enroll_s": round(clockwork.enroll_s, 1),
            "cpu_s": round(clockwork.cpu_s, 1),
            "memory_bytes": clockwork.memory_bytes,
            "memory_bytes_per_device": clockwork.memory_bytes // max(1, len(self.members)),
            "behind_s": round(self.simulation.behind_s, 3),
        }


def is_sound(document: Mapping[str, Any]) -> bool:
    """Whether the server's books say what the devices did."""
    return all(check["equal"] for check in document["checks"].values())


def as_text(document: Mapping[str, Any]) -> str:
    """The summary for people."""
    fleet, server, simulator = document["fleet"], document["server"], document["simulator"]
    reached = ", ".join(f"{share} {_duration(after)}" for share, after in fleet["updated_after_s"].items())
    states = ("up_to_date", "failed", "rolled_back", "waiting")
    parts = [
        f"{fleet['devices']:,} devices: "
        + ", ".join(f"{fleet[state]:,} {state.replace('_', ' ')}" for state in states),
        f"up to date after: {reached} (virtual time; it ended after {_duration(fleet['virtual_s'])})",
        ", ".join(f"{name} {many:,}" for name, many in _trouble(fleet)),
        _ledger(fleet["ledger"]),
        "",
        _table("link way requests bytes money", fleet["ledger"]["by_link_and_way"]),
        "",
        _table("link devices kind requests http_bytes link_bytes money", fleet["links"]),
        "",
        _answers(fleet, server),
        "",
        _checks(document["checks"]),
        _real_time(server, simulator),
    ]
    return "\n".join(parts)


def _trouble(fleet: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [*((name, fleet[name]) for name in ("attempts", "fallbacks", "resumes")), *fleet["cuts"].items()]


def _ledger(ledger: Mapping[str, Any]) -> str:
    currency = ledger["currency"]
    forecast = f"forecast {ledger['forecast_bytes']:,} bytes, {ledger['forecast_money']} {currency}"
    return f"ledger: {ledger['bytes']:,} bytes, {ledger['money']} {currency} ({forecast})"


def _real_time(server: Mapping[str, Any], simulator: Mapping[str, Any]) -> str:
    memory = (
        f"{simulator['memory_bytes'] / 2**20:.0f} MiB, {simulator['memory_bytes_per_device'] / 1024:.1f} KiB a device"
    )
    enrolled = f"{simulator['enroll_s']} s to enroll ({server['enrolled_per_s']:g} devices/s)"
    asked = f"{simulator['wall_s']} s for {server['requests']:,} requests ({server['requests_per_s']:g}/s)"
    return f"real time: {enrolled}, {asked}; CPU {simulator['cpu_s']} s here; memory {memory}"


def _table(columns: str, rows: Iterable[Mapping[str, Any]]) -> str:
    names = columns.split()
    return format_table([name.replace("_", " ") for name in names], [[row[name] for name in names] for row in rows])


def _answers(fleet: Mapping[str, Any], server: Mapping[str, Any]) -> str:
    rows = [
        [kind, many, *(server["answer_ms"][kind][f"p{share * 100:g}"] for share in SHARES)]
        for kind, many in fleet["requests"].items()
    ]
    text = format_table(["request", "many", "p50 ms", "p90 ms", "p99 ms"], rows)
    return f"{text}\npeak: {fleet['peak_requests_per_s']:,} requests in one virtual second"


def _checks(checks: Mapping[str, Any]) -> str:
    unequal = [
        f"{name}: {one['simulated']} here, {one['server']} there" for name, one in checks.items() if not one["equal"]
    ]
    if unequal:
        return "the server's books DIFFER from what the devices did: " + "; ".join(unequal)
    return f"the server's books say what the devices did: {', '.join(checks)} are equal"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
