"""Publishing one variant, as a use case: hash, upload what is missing, name it, evaluate it, publish.

Every step is harmless to repeat, so a run that was cut is simply run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client.errors import ConfigError
from client.files import require_file, sha256_of
from client.progress import Progress, no_progress
from client.rest import RestClient


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published.

    Attributes:
        base_sha256: of the artifact this variant was made as a difference to, for a rung of a ladder.
        tolerances: what a device may differ from the golden outputs: `atol`, `rtol`, `min_agreement`.
        evaluations: as the server's Evaluation has them.
        create_model: make the model line when there is none; without it a misspelt name is refused.
        draft: leave the version unpublished.
        accept_over_budget: publish although a limit of the model line is broken; the server writes down who did.
    """

    file: Path
    model: str
    version: str
    variant: str
    contract: Path
    sample_set: Path | None = None
    base_sha256: str | None = None
    tolerances: Mapping[str, float | None] = field(default_factory=dict)
    evaluations: Sequence[Mapping[str, Any]] = ()
    create_model: bool = False
    draft: bool = False
    accept_over_budget: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What stands on the server now.

    Attributes:
        changed: False when all of it was there before.
        uploaded_bytes: of the files that the server did not have.
        state: of the version: draft or published.
        static_cost: of the model, where it was uploaded in this run.
    """

    sha256: str
    size_bytes: int
    changed: bool
    uploaded_bytes: int
    state: str
    static_cost: dict[str, Any] | None


def publish(rest: RestClient, wanted: Publication, progress: Progress = no_progress) -> Published:
    """Publish one variant.

    Raises:
        ConfigError: the model line does not exist and was not to be created.
        LocalFileError: a file is missing, empty or unreadable.
        Refused: the server says no, e.g. the variant exists with other bytes.
        ServerError: the server cannot be reached or failed.
    """
    files = {"contract": wanted.contract, "model": wanted.file}
    if wanted.sample_set:
        files["sample-set"] = wanted.sample_set
    digests = {kind: sha256_of(require_file(file)) for kind, file in files.items()}
    created = [_ensure_model(rest, wanted)]
    uploads = {
        kind: rest.upload(file, sha256=digests[kind], kind=kind, progress=progress)
        for kind, file in files.items()
        if not rest.has_artifact(digests[kind])
    }
    version_path = f"models/{wanted.model}/versions/{wanted.version}"
    version, version_created = rest.put(version_path, _version_body(digests))
    _, variant_created = rest.put(f"{version_path}/variants/{wanted.variant}", _variant_body(wanted, digests["model"]))
    state = str(version["state"])
    if not wanted.draft and state != "published":
        wish = {"accept_over_budget": True} if wanted.accept_over_budget else None
        state = str(rest.post(f"{version_path}/publish", wish, idempotent=True)["state"])
    return Published(
        sha256=digests["model"],
        size_bytes=wanted.file.stat().st_size,
        changed=any(created) or bool(uploads) or version_created or variant_created or state != version["state"],
        uploaded_bytes=sum(files[kind].stat().st_size for kind in uploads),
        state=state,
        static_cost=uploads.get("model", {}).get("static_cost"),
    )


def _ensure_model(rest: RestClient, wanted: Publication) -> bool:
    """Make the model line if it is missing and may be made; whether it was."""
    if rest.find(f"models/{wanted.model}") is not None:
        return False
    if not wanted.create_model:
        raise ConfigError(f"there is no model line {wanted.model!r}: check the name, or add --create-model")
    rest.post("models", {"name": wanted.model}, idempotent=True)
    return True


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
    if wanted.accept_over_budget:
        body["accept_over_budget"] = True
    return body
