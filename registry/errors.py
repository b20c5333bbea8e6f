"""What the registry refuses, continuing the tree of `access.errors`.

ProblemError
├── ArtifactRefused           422  the bytes cannot become an artifact
│   ├── DigestMismatch        422
│   ├── UploadIncomplete      400  the connection was cut
│   ├── ArtifactEmpty         422
│   ├── ArtifactTooLarge      413
│   ├── ModelInvalid          422  not ONNX, truncated, external data, over a cap
│   ├── ContractInvalid       422
│   └── SampleSetInvalid      422
├── StoreFull                 507
├── StoreUnavailable          503  the object store does not answer
├── RangeNotSatisfiable       416
├── InspectionFailed          503  the check itself could not run: try again
├── DocumentInvalid           422  JSON that is not of its schema, or too large
│   ├── RecipeInvalid         422
│   └── StudyInvalid          422
├── VersionInvalid            400  not a semantic version
├── ContractMismatch          422  the model is not what the version's contract says
├── ArtifactUnknown           422  refers to an artifact that was not uploaded
├── NoTrust                   404  the model line has no root yet
├── OnlineKeysUnusable        503  the server's own keys cannot be read
├── MetadataRefused           422  signed metadata that is none, or is not made as it must be
│   ├── MetadataTooLarge      413
│   ├── MetadataUnsigned      422  too few valid signatures
│   ├── MetadataExpiry        422  expired, or expires too late
│   ├── WrongModelLine        422
│   ├── TooManyTargets        422
│   └── MetadataDiffers       422  a target is not what the registry has
└── StateConflict             409
    ├── KindDiffers           409  the bytes are there as another kind of artifact
    ├── NameTaken             409  a model line with other properties
    ├── VersionDiffers        409
    ├── VariantDiffers        409
    ├── EvaluationDiffers     409
    ├── VersionYanked         409
    ├── VersionEmpty          409  nothing to publish
    ├── OverBudget            409  a variant breaks a limit that its model line requires
    ├── MetadataOutdated      409  somebody else signed in between
    ├── OnlineKeysDiffer      409  the root names other online keys than this server's
    ├── NotSigned             409  no signed targets metadata names it
    └── StillSigned           409  signed targets metadata still names it
"""

from access.errors import ProblemError


class ArtifactRefused(ProblemError):
    """The bytes cannot become an artifact."""

    slug = "artifact-refused"
    title = "The file was refused"
    status = 422


class DigestMismatch(ArtifactRefused):
    """The received bytes have another digest than the address says."""

    slug = "digest-mismatch"
    title = "The bytes are not the ones announced"


class UploadIncomplete(ArtifactRefused):
    """The connection ended before Content-Length bytes had come."""

    slug = "upload-incomplete"
    title = "The upload ended early"
    status = 400


class ArtifactEmpty(ArtifactRefused):
    """A file of no bytes."""

    slug = "artifact-empty"
    title = "The file is empty"


class ArtifactTooLarge(ArtifactRefused):
    """More bytes than this kind of artifact may have."""

    slug = "artifact-too-large"
    title = "The file is too large"
    status = 413


class ModelInvalid(ArtifactRefused):
    """Not one self-contained, valid ONNX file within the caps."""

    slug = "model-invalid"
    title = "The file is not a valid, self-contained ONNX model"


class ContractInvalid(ArtifactRefused):
    """Not a contract by `smallfleet-contract/1`."""

    slug = "contract-invalid"
    title = "The file is not a valid contract"


class SampleSetInvalid(ArtifactRefused):
    """Not a sample set."""

    slug = "sample-set-invalid"
    title = "The file is not a valid sample set"


class StoreFull(ProblemError):
    """The store's filesystem has no room; nothing was kept."""

    slug = "store-full"
    title = "The store is full"
    status = 507


class StoreUnavailable(ProblemError):
    """The artifact store cannot be reached, or refuses this server."""

    slug = "store-unavailable"
    title = "The artifact store is not available"
    status = 503


class RangeNotSatisfiable(ProblemError):
    """The range begins behind the end of the artifact."""

    slug = "range-not-satisfiable"
    title = "The range is outside of the artifact"
    status = 416


class InspectionFailed(ProblemError):
    """The limited child that checks files could not do its work: memory, time or a crash."""

    slug = "inspection-failed"
    title = "The file could not be checked"
    status = 503


class DocumentInvalid(ProblemError):
    """A document that is stored as it is said is not of its schema, or too large."""

    slug = "document-invalid"
    title = "The document is not valid"
    status = 422


class RecipeInvalid(DocumentInvalid):
    """Not by `smallfleet-recipe/1`, or over 64 kB."""

    slug = "recipe-invalid"
    title = "The recipe is not valid"


class StudyInvalid(DocumentInvalid):
    """Not by `smallfleet-study/1`, over 4 MB, or of another name than its address."""

    slug = "study-invalid"
    title = "The study is not valid"


class VersionInvalid(ProblemError):
    """Not a semantic version (semver.org 2.0.0)."""

    slug = "version-invalid"
    title = "Not a semantic version"
    status = 400


class ContractMismatch(ProblemError):
    """The inputs or outputs of the model or the sample set are not those of its version's contract."""

    slug = "contract-mismatch"
    title = "The version's contract is not kept"
    status = 422


class ArtifactUnknown(ProblemError):
    """The request names a digest that was not uploaded, or was uploaded as another kind."""

    slug = "artifact-unknown"
    title = "No such artifact of this kind"
    status = 422


class NoTrust(ProblemError):
    """The model line has no root of trust, so nothing of it can be signed or installed."""

    slug = "no-trust"
    title = "The model line has no root of trust"
    status = 404


class OnlineKeysUnusable(ProblemError):
    """The server's snapshot or timestamp key cannot be read or made: its operator's business."""

    slug = "online-keys-unusable"
    title = "The server's online keys are not usable"
    status = 503


class MetadataRefused(ProblemError):
    """Not TUF metadata, or not made as this server and its devices need it."""

    slug = "metadata-refused"
    title = "The signed metadata was refused"
    status = 422


class MetadataTooLarge(MetadataRefused):
    """More bytes than metadata of this role may have; it was not parsed."""

    slug = "metadata-too-large"
    title = "The signed metadata is too large"
    status = 413


class MetadataUnsigned(MetadataRefused):
    """Fewer valid signatures than the root's threshold, by keys that the root names."""

    slug = "metadata-unsigned"
    title = "The metadata is not signed by enough trusted keys"


class MetadataExpiry(MetadataRefused):
    """It has expired, or expires later than metadata of its role may; or the root that it stands on has expired."""

    slug = "metadata-expiry"
    title = "The metadata's expiry is not acceptable"


class WrongModelLine(MetadataRefused):
    """It was signed for another model line."""

    slug = "wrong-model-line"
    title = "The metadata is another model line's"


class TooManyTargets(MetadataRefused):
    """More live targets than devices shall read; the oldest are to be archived."""

    slug = "too-many-targets"
    title = "The metadata has too many live targets"


class MetadataDiffers(MetadataRefused):
    """A target does not agree with what the registry has; `errors` names each fact."""

    slug = "metadata-differs"
    title = "A signed target is not what the registry has"


class StateConflict(ProblemError):
    """What is asked contradicts what is there."""

    slug = "state-conflict"
    title = "This contradicts what is there"
    status = 409


class KindDiffers(StateConflict):
    """The same bytes were uploaded as another kind of artifact."""

    slug = "kind-differs"
    title = "The artifact exists as another kind"


class NameTaken(StateConflict):
    """The model line exists with other properties."""

    slug = "name-taken"
    title = "The name is taken"


class VersionDiffers(StateConflict):
    """The version exists with another contract or sample set."""

    slug = "version-differs"
    title = "The version exists and differs"


class VariantDiffers(StateConflict):
    """The variant exists with other bytes, base, tolerances or recipe."""

    slug = "variant-differs"
    title = "The variant exists and differs"


class EvaluationDiffers(StateConflict):
    """The evaluation exists with another value."""

    slug = "evaluation-differs"
    title = "The evaluation exists and differs"


class VersionYanked(StateConflict):
    """The version was yanked; it takes no variants and no rollout."""

    slug = "version-yanked"
    title = "The version was yanked"


class VersionEmpty(StateConflict):
    """A version without a variant cannot be published."""

    slug = "version-empty"
    title = "The version has no variant"


class OverBudget(StateConflict):
    """A variant breaks a limit of its model line that can be checked before any device has run it; `errors` names each."""

    slug = "over-budget"
    title = "A variant breaks the budget of its model line"


class MetadataOutdated(StateConflict):
    """The version is not the next one: somebody else signed in between. Fetch the newest, build on it, sign again."""

    slug = "metadata-outdated"
    title = "The metadata does not follow the newest"


class OnlineKeysDiffer(StateConflict):
    """The root does not let this server's online keys sign snapshots and timestamps."""

    slug = "online-keys-differ"
    title = "The root names other online keys"


class NotSigned(StateConflict):
    """No valid, signed targets metadata names the variant, or any variant of the version: no device would install it."""

    slug = "not-signed"
    title = "The publisher's signature is missing"


class StillSigned(StateConflict):
    """The signed targets metadata names a variant of the version; a yank begins with signing it out."""

    slug = "still-signed"
    title = "The version is still signed"
