"""What is on this device: read from its files beside an agent that runs or does not, without changing or locking anything."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent import __version__, disk, identity, pulse, spending, wire
from agent.clock import Clock, Instant
from agent.config import Config
from agent.decide import retry_delay_s
from agent.errors import NotEnrolled, WireInvalid
from agent.layout import MANIFEST_FILE, Layout, LinePaths
from agent.outbox import Outbox
from agent.policy import MB
from agent.state import DueBenchmark, Failure, LineState, Pending, Refusal, State
from agent.store import read_state
from agent.trust import keeping, verified


def status(config: Config, layout: Layout, clock: Clock) -> dict[str, Any]:
    """Everything, as plain values; what is not known is `None`."""
    state = read_state(layout) or State(lines={})
    now = clock.now()
    try:
        device_id = identity.read(layout).device_id
    except NotEnrolled:
        device_id = None
    return {
        "agent_version": __version__,
        "device_id": device_id,
        "server": config.server,
        "running": is_running(layout),
        "polled": _polled(config, now),
        "attributes": {**(state.facts.attributes if state.facts else {}), **config.attributes},
        "installations": [
            {**_installation(model, state, layout, config, now), "trust": _trust(model, layout, clock)}
            for model in config.models
        ],
        "outbox": Outbox(layout.outbox).counts(),
        "today": _today(config, layout, clock),
        "disk": _disk(layout),
    }


def is_running(layout: Layout) -> bool:
    """Whether some process holds the lock."""
    if not layout.lock.exists():
        return False
    descriptor = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _polled(config: Config, now: Instant) -> dict[str, Any] | None:
    """The daemon's last poll, as far as a pulse of this boot tells."""
    found = pulse.read(config)
    if found is None or found.rests_since.boot_id != now.boot_id:
        return None
    polled = found.polled
    return {
        "at": None if polled is None else polled.wall_time,
        "ago_s": None if polled is None else round(now.since(polled.at), 1),
        "result": None if polled is None else polled.result,
        "detail": None if polled is None else polled.detail or None,
        "next_in_s": round(max(0.0, found.rests_for_s - now.since(found.rests_since)), 1),
    }


def _installation(model: str, state: State, layout: Layout, config: Config, now: Instant) -> dict[str, Any]:
    line, paths = state.lines.get(model, LineState()), layout.line(model)
    current = paths.read_current()
    return {
        "model": model,
        "current": current,
        "served": None if current is None else _release(paths, current),
        "damaged": line.damaged is not None,
        "previous": line.previous,
        "wanted": state.wanted(model),
        "pending": None if line.pending is None else _pending(line.pending, layout, now),
        "refused": _refused(line.refused, now),
        "benchmark": None if line.benchmark is None else _benchmark(line.benchmark, now),
        "failures": [_failure(failure, config, now) for failure in line.failures],
    }


def _trust(model: str, layout: Layout, clock: Clock) -> dict[str, Any] | None:
    """What signed metadata says of a line; `None` where the device trusts no root of it."""
    kept = keeping.read(layout, model)
    if kept is None:
        return None
    says = kept.says
    at = verified.not_before(kept.floor, clock.utc(), clock.now())
    return {
        "root_sha256": kept.root_sha256,
        "versions": asdict(kept.versions),
        "targets": None if says is None else [target.path for target in says.targets],
        "expires_at": None if says is None else says.expires_at.isoformat().replace("+00:00", "Z"),
        "expired": None if says is None else says.is_expired(at),
    }


def _release(paths: LinePaths, sha256: str) -> dict[str, Any] | None:
    """What the manifest says of a slot; `None` when it is damaged."""
    try:
        manifest: Any = wire.parse_json((paths.slot(sha256) / MANIFEST_FILE).read_bytes(), MANIFEST_FILE)
        return {"version": str(manifest["version"]), "variant": str(manifest["variant"])}
    except (OSError, WireInvalid, KeyError, TypeError):
        return None


def _pending(pending: Pending, layout: Layout, now: Instant) -> dict[str, Any]:
    offer = pending.offer
    return {
        "attempt": pending.attempt,
        "rollout": pending.rollout,
        "target": pending.target.sha256,
        "version": pending.target.version,
        "variant": pending.target.variant,
        "stage": pending.stage,
        "for_s": round(now.since(pending.since), 1),
        "way": None if offer is None else offer.way,
        "size_bytes": None if offer is None else offer.size_bytes,
        "received_bytes": 0 if offer is None else layout.received_bytes(offer.sha256),
    }


def _refused(refusal: Refusal | None, now: Instant) -> dict[str, Any] | None:
    if refusal is None:
        return None
    return {"rule": refusal.rule, "detail": refusal.detail, "for_s": round(now.since(refusal.since), 1)}


def _benchmark(due: DueBenchmark, now: Instant) -> dict[str, Any]:
    return {"due": due.sha256, "runs": due.runs, "refused": _refused(due.refused, now)}


def _failure(failure: Failure, config: Config, now: Instant) -> dict[str, Any]:
    left_s = retry_delay_s(failure, config.policy) - now.since(failure.at)
    return {
        "sha256": failure.sha256,
        "rollout": failure.rollout,
        "reason": failure.reason,
        "times": failure.times,
        "permanent": failure.permanent,
        "retry_in_s": None if failure.permanent else round(max(0.0, left_s), 1),
    }


def _today(config: Config, layout: Layout, clock: Clock) -> dict[str, Any]:
    """The day's bytes as they are on disk: transfers to the byte, small talk to `agent.spending.SAVE_BYTES`.

    Those over metered links are counted where there is a budget for them.
    """
    day = spending.read(layout.day)
    spent = spending.Spent()
    if day is not None:
        spent = spending.rolled(day, date=clock.local().date().isoformat(), now=clock.now()).spent
    return {
        "bytes": spent.any_bytes,
        "most_bytes": _bytes_of(config.policy.mb_per_day),
        "metered_bytes": None if config.policy.metered_mb_per_day is None else spent.metered_bytes,
        "most_metered_bytes": _bytes_of(config.policy.metered_mb_per_day),
    }


def _bytes_of(mb: float | None) -> int | None:
    return None if mb is None else int(mb * MB)


def _disk(layout: Layout) -> dict[str, Any]:
    folder = next(path for path in (layout.root, *layout.root.parents) if path.is_dir())
    return {
        "free_bytes": disk.free_bytes(folder),
        "used_bytes": sum(_sizes(layout.root)),
        "models_bytes": sum(_sizes(layout.root / "models")),
        "downloads_bytes": sum(_sizes(layout.downloads)),
    }


def _sizes(folder: Path) -> Iterator[int]:
    """Bytes that each file takes on the disk; what a running agent removes meanwhile is not counted."""
    for parent, _folders, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield Path(parent, name).lstat().st_blocks * 512


def described(found: dict[str, Any]) -> str:
    """The same for a person."""
    running = "running" if found["running"] else "not running"
    today, space = found["today"], found["disk"]
    lines = [
        f"device   {found['device_id'] or 'not enrolled'}  agent {found['agent_version']}  {running}",
        f"server   {found['server']}{_described_poll(found)}",
        f"outbox   {found['outbox']['events']} events, {found['outbox']['reports']} reports",
        f"today    {_of_budget(today['bytes'], today['most_bytes'])}{_described_metered(today)}",
        f"disk     {_mb(space['used_bytes'])} used, {_mb(space['free_bytes'])} free",
    ]
    for one in found["installations"]:
        lines.extend(_described_installation(one))
    return "\n".join(lines) + "\n"


def _described_poll(found: dict[str, Any]) -> str:
    polled = found["polled"]
    if polled is None or polled["at"] is None:
        return ""
    detail = f" ({polled['detail']})" if polled["detail"] else ""
    # An agent that ended has left its last poll behind, and polls no more.
    following = f", next in {polled['next_in_s']:.0f} s" if found["running"] else ""
    return f"  {polled['result']}{detail} {polled['ago_s']:.0f} s ago{following}"


def _described_metered(today: dict[str, Any]) -> str:
    if today["metered_bytes"] is None:
        return ""
    return f", metered {_of_budget(today['metered_bytes'], today['most_metered_bytes'])}"


def _described_installation(one: dict[str, Any]) -> Iterator[str]:
    served = one["served"]
    yield one["model"]
    yield f"  current  {one['current'] or 'none'}" + (f"  {served['version']}/{served['variant']}" if served else "")
    if one["damaged"]:
        yield "           its files are damaged; they are fetched again"
    yield f"  previous {one['previous'] or 'none'}"
    yield f"  trust    {_described_trust(one['trust'])}"
    if one["pending"]:
        pending = one["pending"]
        got = f", {pending['received_bytes']} of {pending['size_bytes']} bytes" if pending["way"] else ""
        yield f"  pending  {pending['version']}/{pending['variant']} {pending['target']}: {pending['stage']}{got}"
    for refused in (one["refused"], one["benchmark"] and one["benchmark"]["refused"]):
        if refused:
            yield f"  refused  {refused['rule']}: {refused['detail']} (for {refused['for_s']:.0f} s)"
    for failure in one["failures"]:
        again = "for good" if failure["permanent"] else f"again in {failure['retry_in_s']:.0f} s"
        yield f"  failed   {failure['sha256']}: {failure['reason']} ({failure['times']}x), {again}"
        yield f"           in rollout {failure['rollout']}"


def _described_trust(trust: dict[str, Any] | None) -> str:
    if trust is None:
        return "no root"
    if trust["targets"] is None:
        return f"root {trust['versions']['root']}, nothing verified that follows from it"
    over = "ENDED" if trust["expired"] else "until"
    return f"{len(trust['targets'])} signed targets (list {trust['versions']['targets']}), {over} {trust['expires_at']}"


def _of_budget(bytes_: int, most_bytes: int | None) -> str:
    return _mb(bytes_) + ("" if most_bytes is None else f" of {_mb(most_bytes)}")


def _mb(bytes_: int | None) -> str:
    if bytes_ is None:
        return "?"
    return f"{bytes_ / MB:.1f} MB" if bytes_ >= MB else f"{bytes_ / 1000:.0f} kB"
