"""What can run: model lines, versions, variants, evaluations, artifacts, and the patches between artifacts."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

SHA256_PATTERN = r"^[0-9a-f]{64}$"
NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"

validate_sha256 = RegexValidator(SHA256_PATTERN, "64 lower-case hexadecimal digits")
validate_name = RegexValidator(
    NAME_PATTERN, "1 to 64 of a-z, 0-9, '.', '_', '-', beginning and ending with a letter or digit"
)


class Artifact(models.Model):
    """Bytes in the store, known by their digest; a row never changes. The row exists exactly when the store has the file."""

    class Kind(models.TextChoices):
        MODEL = "model"
        CONTRACT = "contract"
        SAMPLE_SET = "sample-set"
        PATCH = "patch"

    sha256 = models.CharField(max_length=64, unique=True, validators=[validate_sha256])
    size_bytes = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    static_cost = models.JSONField(null=True, help_text="of a model: what it costs to run, counted from the file")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(size_bytes__gt=0), name="artifact_not_empty"),
            models.CheckConstraint(
                condition=Q(kind="model") | Q(static_cost__isnull=True), name="artifact_cost_of_models_only"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.sha256[:12]}"


class Upload(models.Model):
    """Who sent an artifact's bytes. A digest is no secret: whoever sees no line that has an artifact refers to it only after sending it."""

    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, related_name="uploads")
    actor = models.CharField(max_length=200, help_text="`person:<username>` or `token:<id>`")
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["artifact", "actor"], name="upload_unique")]

    def __str__(self) -> str:
        return f"{self.actor} {self.artifact_id}"


class ModelLine(models.Model):
    """A named task; what a device installs one of."""

    name = models.CharField(max_length=64, unique=True, validators=[validate_name])
    title = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    targets_version = models.PositiveIntegerField(
        null=True, blank=True, help_text="of the newest targets metadata; every poll names it, so it stands here"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class MetadataFile(models.Model):
    """One signed TUF metadata file of a model line, character by character as it was signed. A row never changes but for its end.

    The newest file of a role has no `superseded_at`. Roots are kept for good, for clients walk from theirs to the newest.
    """

    class Role(models.TextChoices):
        ROOT = "root"
        TARGETS = "targets"
        SNAPSHOT = "snapshot"
        TIMESTAMP = "timestamp"

    model_line = models.ForeignKey(ModelLine, on_delete=models.PROTECT, related_name="metadata_files")
    role = models.CharField(max_length=16, choices=Role.choices)
    version = models.PositiveIntegerField()
    content = models.TextField()
    sha256 = models.CharField(max_length=64, validators=[validate_sha256])
    expires_at = models.DateTimeField()
    stored_at = models.DateTimeField(auto_now_add=True)
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["model_line", "role", "version"]
        constraints = [
            models.UniqueConstraint(fields=["model_line", "role", "version"], name="metadata_version_unique_in_role"),
            models.UniqueConstraint(
                fields=["model_line", "role"], condition=Q(superseded_at=None), name="metadata_newest_unique_in_role"
            ),
            models.CheckConstraint(condition=Q(version__gt=0), name="metadata_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.model_line_id} {self.version}.{self.role}"


class Budget(models.Model):
    """The limits that the variants of a model line shall keep, as `registry.budgets` reads them."""

    class Configuration(models.TextChoices):
        CANONICAL = "canonical", "one pinned thread, which compares over devices"
        DEVICE_DEFAULT = "device-default", "as the runtime chooses on each device"

    model_line = models.OneToOneField(ModelLine, on_delete=models.CASCADE, related_name="budget")
    configuration = models.CharField(
        max_length=20,
        choices=Configuration.choices,
        default=Configuration.CANONICAL,
        help_text="in which speed, energy and memory are measured",
    )
    limits = models.JSONField(default=dict, help_text="by quantity: {at_least|at_most, wanted, metric, dataset_sha256}")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.model_line_id}: {', '.join(self.limits) or 'no limit'}"


class Version(models.Model):
    """A release of a model line. Once published it may gain variants; nothing of it changes."""

    class State(models.TextChoices):
        DRAFT = "draft"
        PUBLISHED = "published"
        YANKED = "yanked"

    model_line = models.ForeignKey(ModelLine, on_delete=models.PROTECT, related_name="versions")
    version = models.CharField(max_length=100, help_text="semantic version, semver.org 2.0.0")
    contract = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="+")
    sample_set = models.ForeignKey(Artifact, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)
    yanked_at = models.DateTimeField(null=True, blank=True)
    yank_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["model_line", "id"]
        constraints = [
            models.UniqueConstraint(fields=["model_line", "version"], name="version_unique_in_line"),
            models.CheckConstraint(
                condition=~Q(state="published") | Q(published_at__isnull=False), name="version_published_has_time"
            ),
            models.CheckConstraint(
                condition=~Q(state="yanked") | Q(yanked_at__isnull=False), name="version_yanked_has_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_line.name}/{self.version}"


class Variant(models.Model):
    """One deployable form of a version: exactly one self-contained ONNX file. Never changes."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="variants")
    name = models.CharField(max_length=64, validators=[validate_name])
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="variants")
    base = models.ForeignKey(
        Artifact,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="a rung: the base it was made for",
    )
    tolerances = models.JSONField(
        default=dict, help_text="{atol, rtol, min_agreement} against the version's golden outputs"
    )
    recipe = models.JSONField(
        null=True, blank=True, help_text="how it was made, by `smallfleet-recipe/1`; null where nobody said"
    )
    is_live = models.BooleanField(
        default=False, help_text="the line's valid, signed targets metadata names it: devices may install it"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["version", "id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "name"], name="variant_unique_in_version"),
            models.UniqueConstraint(fields=["version", "artifact"], name="variant_artifact_unique_in_version"),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.name}"


class Evaluation(models.Model):
    """A measured quality of a variant on a data set."""

    variant = models.ForeignKey(Variant, on_delete=models.CASCADE, related_name="evaluations")
    metric = models.CharField(max_length=64, validators=[validate_name])
    value = models.FloatField()
    sample_count = models.PositiveIntegerField()
    dataset_sha256 = models.CharField(max_length=64, validators=[validate_sha256])
    ci_low = models.FloatField(null=True, help_text="95 % confidence interval")
    ci_high = models.FloatField(null=True)
    measured_by = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["variant", "metric", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["variant", "metric", "dataset_sha256", "measured_by"], name="evaluation_unique"
            ),
            models.CheckConstraint(condition=Q(sample_count__gt=0), name="evaluation_has_samples"),
            models.CheckConstraint(
                condition=Q(ci_low__isnull=True, ci_high__isnull=True)
                | Q(ci_low__lte=models.F("value"), ci_high__gte=models.F("value")),
                name="evaluation_interval_holds_value",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.variant} {self.metric}={self.value}"


class Study(models.Model):
    """What an exploration of a model line's design space measured; a later run of it takes its place."""

    model_line = models.ForeignKey(ModelLine, on_delete=models.CASCADE, related_name="studies")
    name = models.CharField(max_length=64, validators=[validate_name])
    document = models.JSONField(help_text="by `smallfleet-study/1`")
    point_count = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.CharField(max_length=200, help_text="`person:<username>` or `token:<id>`")

    class Meta:
        verbose_name_plural = "studies"
        ordering = ["model_line", "name"]
        constraints = [models.UniqueConstraint(fields=["model_line", "name"], name="study_unique_in_line")]

    def __str__(self) -> str:
        return f"{self.model_line.name}/studies/{self.name}"


class Patch(models.Model):
    """A way to a target artifact made by the codec: `delta` from a base, or `packed` where there is none.

    A row is a wish until it is `ready`. It is claimed by one conditional UPDATE from `wanted` (or a `building` whose lease ran out) to `building`.
    A `ready` one with another `wanted_effort` is made again, and offered as it is meanwhile. A `retired` one has given up its artifact.
    """

    class State(models.TextChoices):
        WANTED = "wanted"
        BUILDING = "building"
        READY = "ready"
        USELESS = "useless", "not smaller than the plain file"
        FAILED = "failed"
        RETIRED = "retired", "no device needs it any more; kept for what it measured"

    base = models.ForeignKey(Artifact, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    target = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="patches")
    patch_format = models.PositiveSmallIntegerField()
    effort = models.CharField(max_length=16, blank=True, help_text="how hard the encoder tried; empty until it did")
    wanted_effort = models.CharField(
        max_length=16, blank=True, help_text="how hard it shall try; empty: as hard as it does by itself at this size"
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WANTED)
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    tries = models.PositiveSmallIntegerField(default=0)
    failure = models.CharField(max_length=500, blank=True)
    wanted_at = models.DateTimeField(auto_now_add=True)
    enqueued_at = models.DateTimeField(
        null=True, blank=True, help_text="when a job was last made for it; jobs can be lost"
    )
    claimed_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(
        null=True, blank=True, help_text="its worker extends this while it lives; after it, the claim is free"
    )
    built_at = models.DateTimeField(null=True, blank=True)
    build_s = models.FloatField(null=True)
    size_bytes = models.PositiveBigIntegerField(null=True, help_text="of the patch, also when it was not worth keeping")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["base", "target", "patch_format"],
                condition=Q(base__isnull=False),
                name="delta_unique_per_base_target_format",
            ),
            models.UniqueConstraint(
                fields=["target", "patch_format"],
                condition=Q(base__isnull=True),
                name="packed_unique_per_target_format",
            ),
            models.CheckConstraint(
                condition=Q(state="ready") ^ Q(artifact__isnull=True), name="patch_ready_has_artifact"
            ),
            models.CheckConstraint(
                condition=Q(base__isnull=True) | ~Q(base=models.F("target")), name="patch_base_is_not_target"
            ),
        ]
        indexes = [models.Index(fields=["state", "wanted_at"], name="patch_by_state")]

    def __str__(self) -> str:
        base = self.base.sha256[:12] if self.base else "nothing"
        return f"{base} -> {self.target.sha256[:12]}"
