"""Publishing one variant, as a use case: hash, upload what is missing, name it, evaluate it, sign it, publish.

Every step is harmless to repeat, so a run that was cut is simply run again. What is signed are the digests of the files that lie here, and what
the caller says of them; nothing that the server answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from client.errors import ConfigError
from client.files import require_file, sha256_of
from client.progress import Progress, no_progress
from client.rest import RestClient
from client.trust.documents import MAX_TARGETS, SignedTargets
from client.trust.line import LineTrust
from client.trust.live import LocalFile, SignedFacts, Targets, oldest_versions, with_target, without_version


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published.

    Attributes:
        base_sha256: of the artifact this variant was made as a difference to, for a rung of a ladder.
        tolerances: what a device may differ from the golden outputs: `atol`, `rtol`, `min_agreement`.
        evaluations: as the server's Evaluation has them.
        recipe: how the variant was made, a document by `smallfleet-recipe/1`; kept with it for good.
        limits, device_classes, is_downgrade_allowed: signed with it, see `client.trust.live.SignedFacts`.
        accept_over_budget: publish although a limit of the model line is broken; the server writes down who did.
    """

    file: Path
    model: str
    version: str
    variant: str
    contract: Path
    sample_set: Path | None = None
    base_sha256: str | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    evaluations: Sequence[Mapping[str, Any]] = ()
    recipe: Mapping[str, Any] | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    device_classes: Sequence[str] = ()
    is_downgrade_allowed: bool = False
    accept_over_budget: bool = False


@dataclass(frozen=True, slots=True)
class Signing:
    """What a publisher signs with."""

    line: LineTrust
    key: CryptoSigner

    def require_ready(self) -> None:
        """Look whether a list could be signed now: before gigabytes are sent.

        Raises:
            ConfigError, Untrusted: it could not; the message says what to do.
        """
        shown = self.line.shown()
        self.line.require_publisher(shown.root, self.key)
        self.line.require_fresh(self.line.targets_of(shown))

    def withdraw(self, version: str) -> SignedTargets | None:
        """Sign the list without a version; None if it is not in it."""
        return self.line.change_targets(lambda live: without_version(live, version), self.key)


@dataclass(frozen=True, slots=True)
class Published:
    """What stands on the server now.

    Attributes:
        changed: False when all of it was there before.
        uploaded_bytes: of the files that the server did not have.
        state: of the version: draft or published.
        list_version: of the signed list that has it; None for a draft.
        archived: versions that had to leave the list to make room.
        signed_before: of the facts that the list said otherwise of this variant, what it said; None for what it did not say.
        static_cost: of the model, where it was uploaded in this run.
    """

    sha256: str
    size_bytes: int
    changed: bool
    uploaded_bytes: int
    state: str
    list_version: int | None
    archived: Sequence[str]
    signed_before: Mapping[str, Any]
    static_cost: dict[str, Any] | None


def publish(
    rest: RestClient, wanted: Publication, signing: Signing | None, progress: Progress = no_progress
) -> Published:
    """Publish one variant; without `signing` it stays a draft, which no device installs.

    Raises:
        ConfigError: the model line does not exist, or has no trust.
        Untrusted: what the server shows may not be signed on top of, or the key is no publisher's.
        LocalFileError: a file is missing, empty or unreadable.
        Refused: the server says no, e.g. the variant exists with other bytes.
        ServerError: the server cannot be reached or failed.
    """
    files = {"contract": wanted.contract, "model": wanted.file}
    if wanted.sample_set:
        files["sample-set"] = wanted.sample_set
    digests = {kind: sha256_of(require_file(file)) for kind, file in files.items()}
    facts = _facts(wanted, files, digests)
    if signing:
        signing.require_ready()
    else:
        _require_model(rest, wanted)
    uploads = {
        kind: rest.upload(file, sha256=digests[kind], kind=kind, progress=progress)
        for kind, file in files.items()
        if not rest.has_artifact(digests[kind])
    }
    version_path = f"models/{wanted.model}/versions/{wanted.version}"
    version, version_created = rest.put(version_path, _version_body(digests))
    _, variant_created = rest.put(f"{version_path}/variants/{wanted.variant}", _variant_body(wanted, digests["model"]))
    state = str(version["state"])
    addition = _Addition(rest, wanted.model, facts.as_target())
    signed = signing.line.change_targets(addition, signing.key) if signing else None
    if signing and state != "published":
        wish = {"accept_over_budget": True} if wanted.accept_over_budget else None
        state = str(rest.post(f"{version_path}/publish", wish, idempotent=True)["state"])
    return Published(
        sha256=digests["model"],
        size_bytes=facts.file.size_bytes,
        changed=bool(uploads) or version_created or variant_created or signed is not None or state != version["state"],
        uploaded_bytes=sum(files[kind].stat().st_size for kind in uploads),
        state=state,
        list_version=signed.version if signed else None,
        archived=addition.archived if signed else (),
        signed_before=addition.signed_before if signed else {},
        static_cost=uploads.get("model", {}).get("static_cost"),
    )


def _said_otherwise(before: TargetFile | None, now: TargetFile) -> dict[str, Any]:
    """The facts that differ, as they were: an option that was left out this time takes a limit away, which has to be seen."""
    if before is None:
        return {}
    old, new = before.custom or {}, now.custom or {}
    return {name: old.get(name) for name in sorted({*old, *new}) if old.get(name) != new.get(name)}


@dataclass(slots=True)
class _Addition:
    """Adds one target to whatever list there is. `archived` and `signed_before` are of the last list that was asked about."""

    rest: RestClient
    model: str
    target: TargetFile
    archived: Sequence[str] = ()
    signed_before: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, live: Targets) -> Targets:
        self.signed_before = _said_otherwise(live.get(self.target.path), self.target)
        is_full = len({*live, self.target.path}) > MAX_TARGETS
        # The order is the server's word: all that a lie can do here is to let another version make room.
        order = oldest_versions(self.rest.get(f"models/{self.model}")["versions"]) if is_full else []
        wanted, self.archived = with_target(live, self.target, oldest_first=order)
        return wanted


def _facts(wanted: Publication, files: Mapping[str, Path], digests: Mapping[str, str]) -> SignedFacts:
    local = {kind: LocalFile(digests[kind], file.stat().st_size) for kind, file in files.items()}
    return SignedFacts(
        model=wanted.model,
        version=wanted.version,
        variant=wanted.variant,
        file=local["model"],
        contract=local["contract"],
        sample_set=local.get("sample-set"),
        tolerances=wanted.tolerances,
        limits=wanted.limits,
        device_classes=wanted.device_classes,
        is_downgrade_allowed=wanted.is_downgrade_allowed,
    )


def _require_model(rest: RestClient, wanted: Publication) -> None:
    """Look whether the model line is there.

    Raises:
        ConfigError: it is not.
    """
    if rest.find(f"models/{wanted.model}") is None:
        raise ConfigError(
            f"there is no model line {wanted.model!r}: check the name, or make it with "
            f"`smallfleet trust init {wanted.model} --create-model`"
        )


def _version_body(digests: Mapping[str, str]) -> dict[str, Any]:
    body = {"contract_sha256": digests["contract"]}
    if "sample-set" in digests:
        body["sample_set_sha256"] = digests["sample-set"]
    return body


def _variant_body(wanted: Publication, sha256: str) -> dict[str, Any]:
    body: dict[str, Any] = {"sha256": sha256, "evaluations": [dict(row) for row in wanted.evaluations]}
    if wanted.tolerances:
        body["tolerances"] = dict(wanted.tolerances)
    if wanted.base_sha256:
        body["base_sha256"] = wanted.base_sha256
    if wanted.recipe is not None:
        body["recipe"] = dict(wanted.recipe)
    if wanted.accept_over_budget:
        body["accept_over_budget"] = True
    return body
