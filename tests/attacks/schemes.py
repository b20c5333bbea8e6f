"""What the attacker serves, scheme by scheme: each turns what was stolen into a plan. No scheme has a key that its test's attack does not name."""

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from delta.encoder import encode
from delta.versions import FORMAT_VERSION
from tests.attacks.thief import LINE, Files, Thief, altered, digest, entry_for, read_key, version_of
from tests.factories.trust import make_target, signed_bytes

EVIL_VERSION = "6.6.6"
FAR = 2_000_000_000


@dataclass(slots=True)
class Plan:
    """What is served.

    Attributes:
        files: metadata by model line.
        entries: of the poll answer.
        forged: artifacts that are not in the store, by the digest under which they are asked for.
        tricks: how an artifact is sent, by digest; some have a number of bytes.
        news: how news is sent.
        poll: `answered`, or `not-modified` for a 304 to whoever asks with an ETag.
        poll_after_s: JSON text.
        pushes: news has all files, also those that the asker said it has.
        is_wasteful: every poll answer speaks of another rollout, as if nothing had failed before.
    """

    files: dict[str, Files]
    entries: list[Any] = field(default_factory=list)
    forged: dict[str, bytes] = field(default_factory=dict)
    tricks: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    news: str = "honest"
    poll: str = "answered"
    poll_after_s: str = "1"
    pushes: bool = False
    is_wasteful: bool = False

    def ask_for(self, target: dict[str, Any], *, ways: list[dict[str, Any]] | None = None) -> None:
        """Let the poll answer order this target, with a `targets_version` that makes the device look at the news."""
        self.entries = [entry_for(target, targets_version=version_of(self.files[LINE].targets), ways=ways)]


Scheme = Callable[..., Plan]
SCHEMES: dict[str, Scheme] = {}


def scheme(make: Scheme) -> Scheme:
    """Let a scheme be known by its function's name."""
    SCHEMES[make.__name__] = make
    return make


def honest(thief: Thief) -> Plan:
    """As the honest server was when it was stolen, for the one line; asks for nothing."""
    return Plan({LINE: thief.files()})


def evil_target(thief: Thief, plan: Plan) -> tuple[dict[str, Any], TargetFile]:
    """A model of the thief's that works as well as the real one, as a poll answer and as targets metadata describe it."""
    real = thief.variant("1.0.0", "fp32")
    model = altered(thief.artifact(real["sha256"]), "mine now")
    plan.forged[digest(model)] = model
    described = real | {"version": EVIL_VERSION, "sha256": digest(model), "size_bytes": len(model)}
    contract, samples = (thief.artifact(real[name]["sha256"]) for name in ("contract", "sample_set"))
    tolerances = {name: str(value) for name, value in real["tolerances"].items() if value is not None}
    target = make_target(
        LINE, EVIL_VERSION, "fp32", model, contract=contract, sample_set=samples, tolerances=tolerances
    )
    return described, target


# --- Models that nobody signed ----------------------------------------------------------------------------------------------------------


@scheme
def unsigned_model(thief: Thief) -> Plan:
    """The poll answer orders a model of the thief's; the metadata is the publisher's own."""
    plan = honest(thief)
    plan.ask_for(evil_target(thief, plan)[0])
    return plan


@scheme
def forged_targets(thief: Thief, *, key: str) -> Plan:
    """Targets metadata with the thief's model, signed with a key that is no publisher's: `foreign`, `snapshot` or `timestamp`."""
    plan = honest(thief)
    described, target = evil_target(thief, plan)
    signer = {"foreign": thief.own_key, "snapshot": thief.snapshot_key, "timestamp": thief.timestamp_key}[key]
    plan.files[LINE] = thief.around(thief.targets([*thief.live().values(), target], signers=[signer]))
    plan.ask_for(described)
    return plan


@scheme
def altered_targets(thief: Thief) -> Plan:
    """The publisher's own signature under a list into which the thief wrote its model."""
    plan = honest(thief)
    described, target = evil_target(thief, plan)
    document = json.loads(thief.metadata("targets"))
    document["signed"]["version"] += 1
    document["signed"]["targets"][target.path] = target.to_dict()
    plan.files[LINE] = thief.around(json.dumps(document).encode())
    plan.ask_for(described)
    return plan


@scheme
def forged_root(thief: Thief, *, first: bool = False) -> Plan:
    """A root that names the thief's key as the publisher's, signed by the thief and the online keys: the next one, or a whole new chain."""
    plan = honest(thief)
    described, target = evil_target(thief, plan)
    own_root = copy.deepcopy(thief.newest_root())
    own_root.version = 1 if first else own_root.version + 1
    for role in (Root.type, Targets.type):
        for keyid in list(own_root.roles[role].keyids):
            own_root.revoke_key(keyid, role)
        own_root.add_key(thief.own_key.public_key, role)
    signed_root = signed_bytes(own_root, [thief.own_key, thief.snapshot_key, thief.timestamp_key])
    targets = thief.targets([target], signers=[thief.own_key])
    files = thief.around(targets)
    files.roots = (
        {1: signed_root, 2: _next_of(own_root, thief)} if first else files.roots | {own_root.version: signed_root}
    )
    plan.files[LINE] = files
    plan.pushes = True
    plan.ask_for(described)
    return plan


def _next_of(root: Root, thief: Thief) -> bytes:
    following = copy.deepcopy(root)
    following.version += 1
    return signed_bytes(following, [thief.own_key])


# --- Metadata of another moment, or of another line -------------------------------------------------------------------------------------


@scheme
def rollback(thief: Thief, *, role: str, to: int, version: str) -> Plan:
    """Metadata that was right once, with a newer snapshot and timestamp around it where the stolen keys can make them; asks for `version`."""
    plan = honest(thief)
    files = plan.files[LINE]
    old = thief.metadata(role, to)
    if role == "targets":
        files = thief.around(old)
    elif role == "snapshot":
        named = Metadata[Snapshot].from_bytes(old).signed.meta["targets.json"].version
        targets = thief.metadata("targets", named)
        files = Files(files.roots, thief.timestamp(version_of(files.timestamp) + 1, to), old, targets)
    else:
        snapshot = thief.metadata("snapshot", Metadata[Timestamp].from_bytes(old).signed.snapshot_meta.version)
        named = Metadata[Snapshot].from_bytes(snapshot).signed.meta["targets.json"].version
        files = Files(files.roots, old, snapshot, thief.metadata("targets", named))
    plan.files[LINE] = files
    plan.pushes = True
    plan.ask_for(thief.variant(version, "fp32"))
    return plan


@scheme
def freeze(thief: Thief, *, targets: int, version: str, variant: str = "fp32") -> Plan:
    """The list of one moment for ever, below snapshots and timestamps that the stolen keys renew; asks for `version`."""
    plan = honest(thief)
    plan.files[LINE] = thief.around(thief.metadata("targets", targets))
    plan.ask_for(thief.variant(version, variant))
    return plan


@scheme
def mix_and_match(thief: Thief, *, old: int) -> Plan:
    """The newest snapshot names the newest list, and an older list is given out in its place."""
    plan = honest(thief)
    files = thief.around(thief.metadata("targets"))
    files.targets = thief.metadata("targets", old)
    plan.files[LINE] = files
    plan.pushes = True
    plan.ask_for(thief.variant("1.0.5", "fp32"))
    return plan


@scheme
def other_line(thief: Thief) -> Plan:
    """Another line's list, signed by the same publisher, as this line's."""
    plan = honest(thief)
    plan.files[LINE] = thief.around(thief.metadata("targets", model="other"))
    plan.pushes = True
    plan.ask_for(thief.variant("7.0.0", "fp32", model="other"))
    return plan


@scheme
def other_line_and_root(thief: Thief) -> Plan:
    """Besides, the next root of the other line, signed by the same owner, as this line's."""
    plan = other_line(thief)
    roots = thief.files(model="other").roots
    plan.files[LINE].roots |= {number: text for number, text in roots.items() if number > 1}
    return plan


@scheme
def fast_forward(thief: Thief, *, publisher: str | None = None) -> Plan:
    """Versions pushed as far as they go: of snapshot and timestamp, and with a stolen publisher's key (PEM file) of targets too."""
    plan = honest(thief)
    targets = thief.metadata("targets")
    if publisher is not None:
        targets = thief.targets(thief.live().values(), signers=[read_key(Path(publisher))], version=FAR)
    snapshot = thief.snapshot(FAR, version_of(targets))
    files = plan.files[LINE]
    plan.files[LINE] = Files(files.roots, thief.timestamp(FAR, FAR), snapshot, targets)
    plan.ask_for(thief.variant("1.0.0", "fp32"))
    return plan


# --- Stolen publisher's key -------------------------------------------------------------------------------------------------------------


@scheme
def stolen_publisher(thief: Thief, *, key: str, ahead: int = 1) -> Plan:
    """The thief holds the publisher's key besides, and signs its model with it."""
    plan = honest(thief)
    described, target = evil_target(thief, plan)
    version = version_of(thief.metadata("targets")) + ahead
    targets = thief.targets([*thief.live().values(), target], signers=[read_key(Path(key))], version=version)
    plan.files[LINE] = thief.around(targets, ahead=ahead)
    plan.ask_for(described)
    return plan


# --- Delivery ---------------------------------------------------------------------------------------------------------------------------


@scheme
def news(thief: Thief, *, how: str) -> Plan:
    """News that is endless, dripping, a decompression bomb, nested or garbage."""
    plan = honest(thief)
    plan.news = how
    plan.ask_for(thief.variant("1.1.0", "fp32"))
    return plan


@scheme
def artifact(thief: Thief, *, how: str, which: str = "model", most: int | None = None) -> Plan:
    """A signed target whose bytes, or whose contract's, come endlessly, dripping, wrong, or of another length."""
    plan = honest(thief)
    target = thief.variant("1.1.0", "fp32")
    sha256 = target["sha256"] if which == "model" else target[which]["sha256"]
    plan.tricks[sha256] = (how, most)
    plan.ask_for(target)
    return plan


@scheme
def waste(thief: Thief) -> Plan:
    """A signed target with wrong bytes, in another rollout with every poll."""
    plan = artifact(thief, how="other-bytes")
    plan.is_wasteful = True
    return plan


@scheme
def patch(thief: Thief, *, how: str, raw_too: bool) -> Plan:
    """A delta to the signed target: to another model, to another model under the target's name, cut off, or noise behind a good header."""
    plan = honest(thief)
    base, target = (thief.variant(version, "fp32") for version in ("1.0.0", "1.1.0"))
    base_model, target_model = (thief.artifact(one["sha256"]) for one in (base, target))
    good = _encode(base_model, target_model)
    if how == "other-model":
        made = _encode(base_model, altered(base_model, "mine now"))
    elif how == "other-model-renamed":
        evil = target_model[:-1] + bytes([target_model[-1] ^ 1])
        made = _encode(base_model, evil).replace(bytes.fromhex(digest(evil)), bytes.fromhex(target["sha256"]))
    elif how == "cut-off":
        made = good[: len(good) // 2]
    else:
        made = good[:200] + random.Random(1).randbytes(len(good) - 200)  # noqa: S311 - no secret: the same noise every time
    plan.forged[digest(made)] = made
    way = {
        "way": "delta",
        "format": FORMAT_VERSION,
        "base": base["sha256"],
        "sha256": digest(made),
        "size_bytes": len(made),
    }
    plan.ask_for(target, ways=[way])
    if not raw_too:
        plan.entries[0]["ways"].pop()
    return plan


def _encode(base: bytes, new: bytes) -> bytes:
    """A valid patch of the codec."""
    with TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("base", "new", "patch")]
        for file, content in zip(files, (base, new), strict=False):
            file.write_bytes(content)
        encode(*files)
        return files[2].read_bytes()


# --- Poll answers -----------------------------------------------------------------------------------------------------------------------


@scheme
def order(thief: Thief, *, version: str, variant: str = "fp32", targets: int | None = None) -> Plan:
    """Nothing forged: the poll answer orders a version that the publisher has signed."""
    plan = honest(thief)
    if targets is not None:
        plan.files[LINE] = thief.around(thief.metadata("targets", targets))
    plan.ask_for(thief.variant(version, variant))
    return plan


@scheme
def loosened(thief: Thief, *, version: str) -> Plan:
    """A signed model that misses its golden outputs, with tolerances in the poll answer that let everything pass, or with no sample set."""
    plan = order(thief, version=version)
    target = plan.entries[0]["target"]
    target["tolerances"] = {"atol": 1e30, "rtol": 1e30, "min_agreement": 0.0}
    target["limits"] = {"p50_latency_ns": 10**18, "peak_memory_bytes": 10**18}
    target["sample_set"] = None
    return plan


@scheme
def poll_answer(thief: Thief, *, poll_after_s: str = "1", target: dict[str, Any] | None = None, **entry: Any) -> Plan:
    """A signed target, with fields of the poll answer overwritten."""
    plan = order(thief, version="1.1.0")
    plan.poll_after_s = poll_after_s
    plan.entries[0]["target"] |= target or {}
    plan.entries[0] |= entry
    return plan


@scheme
def not_modified(thief: Thief) -> Plan:
    """304 to every poll: nothing new, for ever."""
    plan = honest(thief)
    plan.poll = "not-modified"
    return plan
