"""A whole fleet in the database, of any size: the same story with 0, 3 or 10,000 devices.

The story: `digits` 1.0.0 went everywhere, 1.1.0 fp32 is on its way (some succeeded, some failed, some wait), 1.1.0 int8 is a draft of a rollout.
Everything is deterministic, so that a picture of a page can be compared with an earlier one.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from benchmarks.static_cost.macs import TIMES
from fleet.devices.models import Device, Group, Installation, LinkClass
from fleet.ledger.models import LedgerEntry
from fleet.rollouts.models import Attempt, CohortMember, Event, Rollout
from registry.deltas.formats import BUILT_FORMAT
from registry.models import Artifact, Budget, Evaluation, ModelLine, Patch, Variant, Version
from tests.factories.measurements import made_run, store_runs

DATASET = hashlib.sha256(b"digits test set").hexdigest()
CLASSES = ("pi4", "pi5", "jetson-orin", "x86-gateway")
METERED = ("pi5", "jetson-orin")  # have an energy meter
SITES = ("berlin", "lyon", "porto")
_OUTCOMES = (
    "succeeded", "waiting", "succeeded", "failed", "succeeded", "open", "succeeded", "waiting", "succeeded", "succeeded", "rolled-back",
)  # fmt: skip
RULES = ("quiet-hours", "metered-link", "")
RULE_WORDS = {"metered-link": 'wwan0 is metered and metered is "never"', "quiet-hours": "05:00-23:00 Europe/Berlin"}
# What the paper asks of a network in a vehicle, with quality as this line measures it; int8 alone is as small as is wanted.
LIMITS: dict[str, dict[str, Any]] = {
    "param_and_activation_bytes": {"at_most": 8192 * 1024},
    "file_size_bytes": {"at_most": 800_000, "wanted": 300_000},
    "quality": {"metric": "accuracy", "at_least": 0.96},
    "fps": {"at_least": 60, "wanted": 100},
    "energy_j": {"at_most": 2},
}
# name of the variant -> (bytes, accuracy, patch bytes from 1.0.0 fp32 or None)
VARIANTS: dict[str, dict[str, tuple[int, float, int | None]]] = {
    "1.0.0": {"fp32": (903_113, 0.9611, None), "int8": (241_870, 0.9556, 118_400)},
    "1.1.0": {
        "fp32": (903_113, 0.9833, 512_300),
        "fp16": (455_020, 0.9833, 298_100),
        "int8": (241_870, 0.9778, 121_250),
        "pruned": (903_113, 0.9500, 402_000),
    },
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a test reaches for."""

    line: ModelLine
    variants: dict[str, Variant]
    running: Rollout | None
    draft: Rollout | None
    finished: Rollout | None
    devices: list[Device]


def sha(text: str) -> str:
    """A digest that is stable from run to run."""
    return hashlib.sha256(text.encode()).hexdigest()


def stable_id(text: str) -> uuid.UUID:
    """A UUID that is stable from run to run."""
    return uuid.uuid5(uuid.NAMESPACE_URL, text)


def make_artifact(name: str, size_bytes: int, kind: str = "model") -> Artifact:
    """An artifact's row; no file is stored."""
    cost = _static_cost(name, size_bytes) if kind == "model" else None
    return Artifact.objects.create(sha256=sha(name), size_bytes=size_bytes, kind=kind, static_cost=cost)


def _static_cost(name: str, size_bytes: int) -> dict[str, Any]:
    """What the registry's child counts of a model, as far as pages and budgets read it."""
    pair = TIMES.join(("uint8", "int8") if name.endswith("int8") else ("float32", "float32"))
    return {
        "macs_total": 31_000_000,
        "macs": {pair: 31_000_000},
        "param_count": 225_000,
        "param_bytes": size_bytes - 1000,
        "peak_activation_bytes": 262_144,
        "ops_uncounted": {},
        "counter": "smallfleet-static@1",
    }


def make_line(name: str = "digits") -> dict[str, Variant]:
    """A model line with the versions of `VARIANTS`; returns its variants by `version variant`."""
    line = ModelLine.objects.create(name=name, title=f"The {name} classifier", description="Trained for the scenario.")
    made: dict[str, Variant] = {}
    for number, (version_name, forms) in enumerate(VARIANTS.items()):
        version = Version.objects.create(
            model_line=line,
            version=version_name,
            contract=make_artifact(f"{name} {version_name} contract", 512, "contract"),
            sample_set=make_artifact(f"{name} {version_name} samples", 9_100, "sample-set"),
            state=Version.State.PUBLISHED,
            published_at=timezone.now() - timedelta(days=30 - 10 * number),
        )
        for form, (size_bytes, accuracy, _) in forms.items():
            artifact = make_artifact(f"{name} {version_name} {form}", size_bytes)
            made[f"{version_name} {form}"] = variant = Variant.objects.create(
                version=version, name=form, artifact=artifact, is_live=True
            )
            Evaluation.objects.create(
                variant=variant,
                metric="accuracy",
                value=accuracy,
                sample_count=360,
                dataset_sha256=DATASET,
                ci_low=accuracy - 0.018,
                ci_high=min(1.0, accuracy + 0.011),
                measured_by="ci",
            )
    _make_patches(made)
    return made


def _make_patches(variants: dict[str, Variant]) -> None:
    base = variants["1.0.0 fp32"].artifact
    for name, variant in variants.items():
        version, form = name.split()
        size_bytes, _, delta_bytes = VARIANTS[version][form]
        _make_patch(None, variant.artifact, int(size_bytes * 0.86))
        if delta_bytes is not None:
            _make_patch(base, variant.artifact, delta_bytes)
    Patch.objects.create(
        base=variants["1.0.0 int8"].artifact,
        target=variants["1.1.0 int8"].artifact,
        patch_format=BUILT_FORMAT,
        effort="max",
    )


def _make_patch(base: Artifact | None, target: Artifact, size_bytes: int) -> None:
    artifact = make_artifact(f"patch {base} {target}", size_bytes, "patch")
    Patch.objects.create(
        base=base,
        target=target,
        patch_format=BUILT_FORMAT,
        effort="max",
        state=Patch.State.READY,
        artifact=artifact,
        size_bytes=size_bytes,
        built_at=timezone.now(),
        build_s=1.5,
    )


def make_scenario(devices: int = 3) -> Scenario:
    """Fill the database; with no devices there are models and nothing else."""
    variants = make_line()
    line = ModelLine.objects.get(name="digits")
    Budget.objects.create(model_line=line, limits=LIMITS)
    fleet = _make_devices(devices)
    if not fleet:
        return Scenario(line, variants, None, None, None, [])
    return _tell_story(line, variants, fleet)


def _make_devices(count: int) -> list[Device]:
    if not count:
        return []
    links = [
        LinkClass.objects.create(name="lte-roaming", price_per_mb=Decimal("0.45"), metered=True),
        LinkClass.objects.create(name="lte", price_per_mb=Decimal("0.012"), metered=True),
        LinkClass.objects.create(name="ethernet", price_per_mb=Decimal(0)),
    ]
    Group.objects.create(name="berlin", query="site=berlin")
    now = timezone.now()
    return Device.objects.bulk_create(
        [
            Device(
                id=stable_id(f"device {number}"),
                name=f"gate-{number:05d}",
                device_class=CLASSES[number % len(CLASSES)],
                attributes={
                    "site": SITES[number % len(SITES)],
                    "camera": "yes",
                    "board": CLASSES[number % len(CLASSES)],
                },
                link_class=links[number % len(links)],
                credential_sha256=sha(f"credential {number}"),
                agent_version="0.1.0",
                patch_formats=[BUILT_FORMAT],
                said_sha256=sha("said"),
                last_seen_at=now - (timedelta(days=3) if number % 25 == 24 else timedelta(seconds=20 + number % 40)),
            )
            for number in range(count)
        ],
        batch_size=1000,
    )


def _tell_story(line: ModelLine, variants: dict[str, Variant], fleet: list[Device]) -> Scenario:
    old, new = variants["1.0.0 fp32"], variants["1.1.0 fp32"]
    now = timezone.now()
    finished = Rollout.objects.create(
        target=old, state="finished", started_at=now - timedelta(days=20), closed_at=now - timedelta(days=19)
    )
    running = Rollout.objects.create(target=new, state="running", started_at=now - timedelta(minutes=8))
    draft = Rollout.objects.create(target=variants["1.1.0 int8"], group=Group.objects.get(name="berlin"))
    installations = Installation.objects.bulk_create(
        [_installation(device, number, old=old, new=new, rollout=running) for number, device in enumerate(fleet)],
        batch_size=1000,
    )
    CohortMember.objects.bulk_create(
        [CohortMember(rollout=finished, installation=each, outcome="succeeded") for each in installations]
        + [
            CohortMember(rollout=running, installation=each, outcome=_member_outcome(number))
            for number, each in enumerate(installations)
        ],
        batch_size=1000,
    )
    _make_attempts(installations, finished, running, now)
    _make_reports(line, fleet, variants)
    count = len(fleet)
    Rollout.objects.filter(pk=finished.pk).update(created_at=now - timedelta(days=21))
    Rollout.objects.filter(pk=running.pk).update(
        created_at=now - timedelta(minutes=30),
        forecast={
            "devices": count,
            "devices_there": 0,
            "bytes_total": count * 512_900,
            "money_total": str(round(count * Decimal("0.0790"), 4)),
            "bytes_by_way": {"delta": count * 512_900},
            "devices_by_way": {"delta": count},
            "is_upper_bound": False,
        },
    )
    return Scenario(line, variants, running, draft, finished, fleet)


def _outcome(number: int) -> str:
    """Of the running rollout, by the device's number: six in ten done, the rest waiting, open, failed or rolled back."""
    return _OUTCOMES[number % len(_OUTCOMES)]


def _member_outcome(number: int) -> str:
    outcome = _outcome(number)
    return "" if outcome in {"waiting", "open"} else outcome


def _installation(device: Device, number: int, *, old: Variant, new: Variant, rollout: Rollout) -> Installation:
    done = _outcome(number) == "succeeded"
    current = (new if done else old).artifact
    previous = old.artifact if done else None
    # Of those that wait some may not: a rule of their own says no.
    rule = RULES[number % len(RULES)] if _outcome(number) == "waiting" else ""
    return Installation(
        refused_rule=rule,
        refused_detail=RULE_WORDS.get(rule, ""),
        refused_since=timezone.now() - timedelta(minutes=6) if rule else None,
        device=device,
        model_line=new.version.model_line,
        target=new,
        rollout=rollout,
        current=current,
        current_sha256=current.sha256,
        previous=previous,
        previous_sha256=previous.sha256 if previous else "",
    )


def _make_attempts(installations: list[Installation], finished: Rollout, running: Rollout, now: datetime) -> None:
    attempts: list[Attempt] = []
    events: list[Event] = []
    ledger: list[LedgerEntry] = []
    for number, installation in enumerate(installations):
        first = _attempt(installation, finished, "succeeded", "packed", now - timedelta(days=19))
        attempts.append(first)
        ledger.append(_entry(first, "packed", 776_677))
        outcome = _outcome(number)
        if outcome == "waiting":
            continue
        second = _attempt(installation, running, outcome, "delta", now - timedelta(minutes=3))
        attempts.append(second)
        events.extend(_events(second, now))
        ledger.append(_entry(second, "delta", 512_300 if outcome != "open" else 120_000))
    Attempt.objects.bulk_create(attempts, batch_size=1000)
    Event.objects.bulk_create(events, batch_size=2000)
    LedgerEntry.objects.bulk_create(ledger, batch_size=2000)
    # auto_now_add wrote today; the first rollout was earlier.
    Attempt.objects.filter(rollout=finished).update(opened_at=now - timedelta(days=19, minutes=2))
    Attempt.objects.filter(rollout=running).update(opened_at=now - timedelta(minutes=5))


def _attempt(installation: Installation, rollout: Rollout, state: str, way: str, at: datetime) -> Attempt:
    reasons = {"failed": "smoke: latency-above-limit", "rolled-back": "health: golden-outputs-differ"}
    return Attempt(
        id=stable_id(f"attempt {installation.device_id} {rollout.pk}"),
        installation=installation,
        rollout=rollout,
        target=rollout.target.artifact,
        state=state,
        way=way,
        reason=reasons.get(state, ""),
        closed_at=None if state == "open" else at,
    )


def _entry(attempt: Attempt, way: str, size_bytes: int) -> LedgerEntry:
    return LedgerEntry(
        device_id=attempt.installation.device_id,
        attempt_id=attempt.id,
        artifact_sha256=sha(f"patch to {attempt.target_id}"),
        way=way,
        agent_bytes=size_bytes + 640,
        server_bytes=size_bytes,
        requests=1,
    )


def _events(attempt: Attempt, now: datetime) -> list[Event]:
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("started", {"from": sha("digits 1.0.0 fp32"), "way": "delta"}),
        ("transferred", {"artifact": sha("patch"), "way": "delta", "bytes_received": 512_940, "complete": True}),
    ]
    if attempt.state != "open":
        shadow = {"source": "sample-set", "samples": 64, "max_abs_error": 0.031, "vetoed": False}
        kinds.append(("shadowed", {**shadow, "disagreement": 0.015625, "latency_ratio": 1.0213}))
    last = {"succeeded": "activated", "failed": "failed", "rolled-back": "rolled_back"}.get(attempt.state)
    if last == "failed":
        kinds.append(("failed", {"stage": "smoke", "reason": "latency-above-limit", "permanent": True}))
    elif last is not None:
        kinds.append((last, {"reason": "golden-outputs-differ"} if last == "rolled_back" else {}))
    return [
        Event(attempt=attempt, seq=seq, kind=kind, at=now - timedelta(seconds=180 - 20 * seq), detail=detail)
        for seq, (kind, detail) in enumerate(kinds)
    ]


def _make_reports(line: ModelLine, fleet: list[Device], variants: dict[str, Variant]) -> None:
    """Three variants were measured; the others were not, and their points must say so. Every seventh run is invalid.

    The int8 one is the smaller and the slower one, as ShuffleNet on x86 (benchmark method, 3.5).
    """
    speed_ns = {"1.0.0 fp32": 2_150_000, "1.1.0 fp32": 2_180_000, "1.1.0 int8": 4_310_000}
    slowness = {"pi4": 4.1, "pi5": 1.9, "jetson-orin": 1.2, "x86-gateway": 1.0}
    store_runs(
        [
            made_run(
                device,
                line,
                variants[name].artifact,
                run_id=stable_id(f"run {device.id} {name}"),
                validity="invalid" if number % 7 == 6 else "semivalid" if number % 7 == 5 else "valid",
                p50_ns=int(base_ns * slowness[device.device_class] * (1 + (number % 13) / 100)),
                energy_j=0.011 * slowness[device.device_class] if device.device_class in METERED else None,
                failed_rules=["cv"] if number % 7 == 6 else [],
            )
            for number, device in enumerate(fleet)
            for name, base_ns in speed_ns.items()
        ]
    )
