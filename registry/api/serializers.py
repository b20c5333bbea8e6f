"""Shapes of the registry on the wire."""

from typing import Any

from rest_framework import serializers

from registry.metrics import share_refusal
from registry.models import Artifact, Budget, Evaluation, ModelLine, Variant, Version, validate_name, validate_sha256
from registry.services import Measured
from registry.uploads import UPLOADED_KINDS

_MAX_COUNT = 2**31 - 1
_MAX_EVALUATIONS = 100


class Sha256Field(serializers.CharField):
    """A digest."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, validators=[validate_sha256], **options)


class NameField(serializers.CharField):
    """A name as it stands in addresses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, validators=[validate_name], **options)


class UploadQuerySerializer(serializers.Serializer[Any]):
    """The query of an upload."""

    kind = serializers.ChoiceField(choices=[kind.value for kind in UPLOADED_KINDS])
    sha256 = Sha256Field()


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    """An artifact."""

    static_cost = serializers.JSONField(allow_null=True, read_only=True)

    class Meta:
        model = Artifact
        fields = ["sha256", "size_bytes", "kind", "static_cost"]


class ArtifactReferenceSerializer(serializers.ModelSerializer[Artifact]):
    """An artifact that something else refers to."""

    class Meta:
        model = Artifact
        fields = ["sha256", "size_bytes"]


class ModelLineRequestSerializer(serializers.Serializer[Any]):
    """A wish for a model line. What is left out is not compared with what is there."""

    name = NameField()
    title = serializers.CharField(max_length=200, allow_blank=True, required=False)
    description = serializers.CharField(max_length=10_000, allow_blank=True, required=False)


class ModelLineSerializer(serializers.ModelSerializer[ModelLine]):
    """A model line."""

    class Meta:
        model = ModelLine
        fields = ["name", "title", "description", "created_at"]


class ModelLineSummarySerializer(serializers.Serializer[Any]):
    """A model line in a list."""

    name = serializers.CharField(source="line.name")
    title = serializers.CharField(source="line.title")
    description = serializers.CharField(source="line.description")
    created_at = serializers.DateTimeField(source="line.created_at")
    latest_version = serializers.CharField(allow_null=True)
    version_count = serializers.IntegerField()


class ToleranceSerializer(serializers.Serializer[Any]):
    """How far a variant's outputs may be from the golden ones."""

    atol = serializers.FloatField(min_value=0, allow_null=True, required=False)
    rtol = serializers.FloatField(min_value=0, allow_null=True, required=False)
    min_agreement = serializers.FloatField(min_value=0, max_value=1, allow_null=True, required=False)


class EvaluationRequestSerializer(serializers.Serializer[Any]):
    """A measured quality. The interval is 95 % and holds the value; both lie within 0 to 1 where the metric is a share, such as `accuracy`."""

    metric = NameField()
    value = serializers.FloatField()
    sample_count = serializers.IntegerField(min_value=1, max_value=_MAX_COUNT)
    dataset_sha256 = Sha256Field()
    ci_low = serializers.FloatField(allow_null=True, default=None)
    ci_high = serializers.FloatField(allow_null=True, default=None)
    measured_by = serializers.CharField(max_length=100, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        low, value, high = attrs["ci_low"], attrs["value"], attrs["ci_high"]
        numbers = {"value": value, "ci_low": low, "ci_high": high}
        refusals = {
            field: share_refusal(attrs["metric"], number) for field, number in numbers.items() if number is not None
        }
        if any(refusals.values()):
            raise serializers.ValidationError({field: refusal for field, refusal in refusals.items() if refusal})
        if (low is None) != (high is None):
            raise serializers.ValidationError({"ci_low": "an interval needs both ci_low and ci_high"})
        if low is not None and not low <= value <= high:
            raise serializers.ValidationError(
                {"ci_low": f"the interval {low} to {high} does not hold the value {value}"}
            )
        return attrs

    def measured(self) -> Measured:
        """The valid evaluation as a value."""
        return Measured(**self.validated_data)


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    """An evaluation of a variant."""

    # Declared, because the range that DRF finds by itself is the database's, and so would be the OpenAPI document.
    sample_count = serializers.IntegerField(read_only=True)

    class Meta:
        model = Evaluation
        fields = [
            "metric", "value", "sample_count", "dataset_sha256", "ci_low", "ci_high", "measured_by", "created_at",
        ]  # fmt: skip


class VariantRequestSerializer(serializers.Serializer[Any]):
    """A wish for a variant."""

    sha256 = Sha256Field()
    base_sha256 = Sha256Field(allow_null=True, default=None)
    tolerances = ToleranceSerializer(required=False, default=dict)
    evaluations = EvaluationRequestSerializer(  # type: ignore[call-arg]  # the stubs lack max_length
        many=True, required=False, default=list, max_length=_MAX_EVALUATIONS
    )
    recipe = serializers.JSONField(
        allow_null=True, default=None, help_text="how it was made: an object by smallfleet-recipe/1, at most 64 kB"
    )
    accept_over_budget = serializers.BooleanField(
        default=False, help_text="add it to a published version although a limit is broken"
    )

    def wanted(self) -> dict[str, Any]:
        """The valid wish, as the service's arguments."""
        fields = dict(self.validated_data)
        return {**fields, "evaluations": [Measured(**evaluation) for evaluation in fields["evaluations"]]}


class VariantNameSerializer(serializers.Serializer[Any]):
    """The name in a variant's address."""

    variant = NameField()


class VariantSerializer(serializers.ModelSerializer[Variant]):
    """A variant with what it costs and how good it is."""

    sha256 = serializers.CharField(source="artifact.sha256")
    size_bytes = serializers.IntegerField(source="artifact.size_bytes")
    base_sha256 = serializers.CharField(source="base.sha256", default=None, allow_null=True)
    static_cost = serializers.JSONField(source="artifact.static_cost", allow_null=True)
    tolerances = ToleranceSerializer()
    evaluations = EvaluationSerializer(many=True)
    recipe = serializers.JSONField(allow_null=True, help_text="how it was made; null where nobody said")

    class Meta:
        model = Variant
        fields = [
            "name", "sha256", "size_bytes", "base_sha256", "tolerances", "static_cost", "evaluations", "recipe", "created_at",
        ]  # fmt: skip


class VersionRequestSerializer(serializers.Serializer[Any]):
    """A wish for a version."""

    contract_sha256 = Sha256Field()
    sample_set_sha256 = Sha256Field(allow_null=True, default=None)


def _refuse_unknown(serializer: serializers.Serializer[Any], data: Any, what: str) -> None:
    if isinstance(data, dict) and (unknown := sorted(set(data) - set(serializer.fields))):
        known = ", ".join(serializer.fields)
        raise serializers.ValidationError(dict.fromkeys(unknown, f"there is no such {what}; known: {known}"))


class LimitSerializer(serializers.Serializer[Any]):
    """A bound on one quantity: `at_least` or `at_most`, as fits it, and what is wanted beyond."""

    at_least = serializers.FloatField(min_value=0, allow_null=True, default=None)
    at_most = serializers.FloatField(min_value=0, allow_null=True, default=None)
    wanted = serializers.FloatField(min_value=0, allow_null=True, default=None, help_text="stricter; fails nothing")
    # The direction that the quantity has by its nature; None where the person says it.
    direction: str | None = "at_most"

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The fields; an unknown one is refused, because a misspelt bound would hold nothing."""
        _refuse_unknown(self, data, "key of a limit")
        fields: dict[str, Any] = super().to_internal_value(data)
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        said = [name for name in ("at_least", "at_most") if attrs[name] is not None]
        if len(said) == 2:
            raise serializers.ValidationError("say at_least or at_most, not both")
        if self.direction is None and not said:
            raise serializers.ValidationError("say at_least or at_most")
        if self.direction is not None and said not in ([], [self.direction]):
            raise serializers.ValidationError(f"this quantity is limited by {self.direction}")
        if not said and attrs["wanted"] is None:
            raise serializers.ValidationError("an empty limit: say a bound, or leave the quantity out")
        direction = self.direction or said[0]
        required, wanted = attrs[direction], attrs["wanted"]
        if None not in {required, wanted} and (wanted < required if direction == "at_least" else wanted > required):
            raise serializers.ValidationError({"wanted": f"{wanted:g} is weaker than what is required, {required:g}"})
        return {name: value for name, value in attrs.items() if value not in {None, ""}}


class FloorSerializer(LimitSerializer):
    """A bound from below."""

    direction = "at_least"


class QualityLimitSerializer(LimitSerializer):
    """A bound on a metric of the evaluations; `accuracy` and `top1` are also measured on devices."""

    direction = None
    metric = NameField()
    dataset_sha256 = Sha256Field(allow_null=True, default=None, help_text="only evaluations on this data set count")


class LimitsSerializer(serializers.Serializer[Any]):
    """Limits by quantity. Bounds are inclusive."""

    param_and_activation_bytes = LimitSerializer(required=False, help_text="stored parameters and peak of activations")
    file_size_bytes = LimitSerializer(required=False)
    quality = QualityLimitSerializer(required=False)
    fps = FloorSerializer(required=False, help_text="inferences a second at batch 1, of the median device's p50")
    energy_j = LimitSerializer(required=False, help_text="per inference, of the median device")
    peak_memory_bytes = LimitSerializer(required=False, help_text="of the worst device, the runtime included")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The known limits; an unknown one is refused, because a misspelt limit would hold nothing."""
        _refuse_unknown(self, data, "quantity")
        fields: dict[str, Any] = super().to_internal_value(data)
        return fields


class BudgetRequestSerializer(serializers.Serializer[Any]):
    """The limits that a model line shall have, in the place of those that it has."""

    configuration = serializers.ChoiceField(
        choices=Budget.Configuration.choices, default=Budget.Configuration.CANONICAL
    )
    limits = LimitsSerializer()


class BudgetSerializer(serializers.Serializer[Any]):
    """The limits of a model line; empty where none were set."""

    model = serializers.CharField(source="model_line.name")
    configuration = serializers.CharField()
    limits = LimitsSerializer()
    changed_at = serializers.DateTimeField(allow_null=True)


class PublishRequestSerializer(serializers.Serializer[Any]):
    """How to publish."""

    accept_over_budget = serializers.BooleanField(default=False, help_text="publish although a limit is broken")


class YankRequestSerializer(serializers.Serializer[Any]):
    """Why a version is withdrawn."""

    reason = serializers.CharField(max_length=500)


class VersionSerializer(serializers.ModelSerializer[Version]):
    """A version with its variants and evaluations."""

    model = serializers.CharField(source="model_line.name")
    contract = ArtifactReferenceSerializer()
    sample_set = ArtifactReferenceSerializer(allow_null=True)
    variants = VariantSerializer(many=True)

    class Meta:
        model = Version
        fields = [
            "model", "version", "state", "contract", "sample_set", "created_at", "published_at", "yanked_at", "yank_reason",
            "variants",
        ]  # fmt: skip


class ModelLineDetailSerializer(serializers.Serializer[Any]):
    """A model line with its versions, highest first."""

    name = serializers.CharField(source="line.name")
    title = serializers.CharField(source="line.title")
    description = serializers.CharField(source="line.description")
    created_at = serializers.DateTimeField(source="line.created_at")
    versions = VersionSerializer(many=True)


class MatrixArtifactSerializer(serializers.Serializer[Any]):
    """One side of a patch, with the variants that these bytes are."""

    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    variants = serializers.ListField(child=serializers.CharField())


class MatrixCellSerializer(serializers.Serializer[Any]):
    """A patch between two artifacts; `base` is null for a packed one."""

    base = MatrixArtifactSerializer(allow_null=True)
    target = MatrixArtifactSerializer()
    format = serializers.IntegerField(source="patch.patch_format")
    state = serializers.CharField(source="patch.state")
    effort = serializers.CharField(source="patch.effort")
    sha256 = serializers.CharField(source="patch.artifact.sha256", default=None, allow_null=True)
    size_bytes = serializers.IntegerField(source="patch.size_bytes", allow_null=True)
    build_s = serializers.FloatField(source="patch.build_s", allow_null=True)
    tries = serializers.IntegerField(source="patch.tries")
    failure = serializers.CharField(source="patch.failure")
    wanted_at = serializers.DateTimeField(source="patch.wanted_at")
    built_at = serializers.DateTimeField(source="patch.built_at", allow_null=True)
