"""Shapes of events. One that does not have its shape is refused alone; the rest of its delivery is taken."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from rest_framework import serializers

from access.api.serializers import CutField, ShortListField
from access.errors import TYPE_PREFIX
from access.problems import problem_of
from fleet.errors import EventInvalid
from fleet.ledger.models import LedgerEntry
from fleet.rollouts.messages import EventKind, EventMessage, Refusal
from registry.api.serializers import NameField, Sha256Field

MAX_EVENTS = 100
MAX_SEQ = 2**31 - 1
MAX_BYTES = 2**53
MODEL_WAYS = ("delta", "packed", "raw", "previous")
FAILED_STAGES = ("download", "apply", "verify", "smoke", "shadow", "pre-activate", "activate", "health")


def _bytes(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=MAX_BYTES, **options)


class StartedSerializer(serializers.Serializer[Any]):
    """The attempt begins."""

    way = serializers.ChoiceField(choices=MODEL_WAYS)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """With `from`, which Python keeps for itself."""
        return {**super().get_fields(), "from": Sha256Field(allow_null=True, required=False, default=None)}


class TransferredSerializer(serializers.Serializer[Any]):
    """HTTP bytes of one transfer, headers included, failed ones too."""

    artifact = Sha256Field()
    way = serializers.ChoiceField(choices=LedgerEntry.Way.values)
    bytes_received = _bytes()
    bytes_sent = _bytes()
    complete = serializers.BooleanField()
    requests = serializers.IntegerField(min_value=0, max_value=MAX_SEQ)
    duration_s = serializers.FloatField(min_value=0)


class FallbackSerializer(serializers.Serializer[Any]):
    """A way failed, the next is tried."""

    to = serializers.ChoiceField(choices=MODEL_WAYS)
    reason = CutField(length=500)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """With `from`, which Python keeps for itself."""
        return {**super().get_fields(), "from": serializers.ChoiceField(choices=MODEL_WAYS)}


class AppliedSerializer(serializers.Serializer[Any]):
    """The target's digest was reached."""

    way = serializers.ChoiceField(choices=MODEL_WAYS)
    duration_s = serializers.FloatField(min_value=0)
    peak_memory_bytes = _bytes(allow_null=True, required=False, default=None)


class SmokePassedSerializer(serializers.Serializer[Any]):
    """The golden outputs came out, within tolerance."""

    samples = serializers.IntegerField(min_value=0, max_value=MAX_SEQ)
    max_abs_error = serializers.FloatField(min_value=0, allow_null=True, required=False, default=None)
    agreement = serializers.FloatField(min_value=0, max_value=1, allow_null=True, required=False, default=None)


class ShadowedSerializer(serializers.Serializer[Any]):
    """Candidate and current model ran on the same inputs; nothing is active yet."""

    # DRF's own `source` of a bound field is not used on this one.
    source = serializers.ChoiceField(choices=["sample-set", "recent-inputs"])  # type: ignore[assignment]
    samples = serializers.IntegerField(min_value=0, max_value=MAX_SEQ)
    disagreement = serializers.FloatField(min_value=0, max_value=1, allow_null=True, required=False, default=None)
    max_abs_error = serializers.FloatField(min_value=0, allow_null=True, required=False, default=None)
    mean_abs_error = serializers.FloatField(min_value=0, allow_null=True, required=False, default=None)
    latency_ratio = serializers.FloatField(min_value=0, allow_null=True, required=False, default=None)
    latency_basis = serializers.ChoiceField(choices=["wall", "cpu"], required=False, default="wall")
    latency_ms = serializers.FloatField(min_value=0, allow_null=True, required=False, default=None)
    memory_bytes = _bytes(allow_null=True, required=False, default=None)
    skipped = serializers.IntegerField(min_value=0, max_value=MAX_SEQ, required=False, default=0)
    why_not = CutField(length=64, allow_null=True, required=False, default=None)
    vetoed = serializers.BooleanField()


class ActivatedSerializer(serializers.Serializer[Any]):
    """Succeeded."""

    previous = Sha256Field(allow_null=True, required=False, default=None)


class RolledBackSerializer(serializers.Serializer[Any]):
    """The health check after activation failed."""

    to = Sha256Field()
    reason = CutField(length=500)
    detail = CutField(length=2000, required=False, default="")


class FailedSerializer(serializers.Serializer[Any]):
    """Failed; the old model is still active, where there is one."""

    stage = serializers.ChoiceField(choices=FAILED_STAGES)
    reason = CutField(length=100)
    detail = CutField(length=2000, required=False, default="")
    permanent = serializers.BooleanField()


DETAILS: Mapping[EventKind, type[serializers.Serializer[Any]]] = {
    EventKind.STARTED: StartedSerializer,
    EventKind.TRANSFERRED: TransferredSerializer,
    EventKind.FALLBACK: FallbackSerializer,
    EventKind.APPLIED: AppliedSerializer,
    EventKind.SMOKE_PASSED: SmokePassedSerializer,
    EventKind.SHADOWED: ShadowedSerializer,
    EventKind.ACTIVATED: ActivatedSerializer,
    EventKind.ROLLED_BACK: RolledBackSerializer,
    EventKind.FAILED: FailedSerializer,
}


class EventSerializer(serializers.Serializer[Any]):
    """A fact in an attempt. What `detail` holds depends on `kind`; see docs/wire.md."""

    attempt = serializers.UUIDField()
    seq = serializers.IntegerField(min_value=0, max_value=MAX_SEQ)
    kind = serializers.ChoiceField(choices=[kind.value for kind in EventKind])
    at = serializers.DateTimeField()
    model = NameField()
    target = Sha256Field()
    rollout = serializers.UUIDField(allow_null=True, required=False, default=None)
    detail = serializers.DictField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the detail by its kind, and leave out the fields it does not have."""
        detail = DETAILS[EventKind(attrs["kind"])](data=attrs["detail"])
        if not detail.is_valid():
            raise serializers.ValidationError({"detail": detail.errors})
        return {**attrs, "kind": EventKind(attrs["kind"]), "detail": detail.validated_data}


class EventsSerializer(serializers.Serializer[Any]):
    """A delivery."""

    events = EventSerializer(many=True)


class DeliverySerializer(serializers.Serializer[Any]):
    """A delivery whose events are not looked at yet."""

    events = ShortListField(child=serializers.JSONField(allow_null=True), max_length=MAX_EVENTS)


class RefusalSerializer(serializers.Serializer[Any]):
    """An event that will never be accepted."""

    attempt = serializers.CharField(allow_null=True)
    seq = serializers.IntegerField(allow_null=True)
    type = serializers.CharField()
    detail = serializers.CharField()


class RecordedSerializer(serializers.Serializer[Any]):
    """What became of a delivery."""

    accepted = serializers.IntegerField()
    repeated = serializers.IntegerField()
    refused = RefusalSerializer(many=True)


def read_events(items: Iterable[Any]) -> tuple[list[EventMessage], list[Refusal]]:
    """The events that have their shape, and the refusals of those that do not."""
    messages: list[EventMessage] = []
    refusals: list[Refusal] = []
    for item in items:
        serializer = EventSerializer(data=item)
        if serializer.is_valid():
            messages.append(EventMessage(**serializer.validated_data))
        else:
            refusals.append(_refusal(item, serializer))
    return messages, refusals


def _refusal(item: Any, serializer: EventSerializer) -> Refusal:
    problem = problem_of(serializers.ValidationError(serializer.errors))
    errors = problem.errors if problem else []
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors)
    attempt, seq = (item.get("attempt"), item.get("seq")) if isinstance(item, Mapping) else (None, None)
    known_seq = seq if isinstance(seq, int) and not isinstance(seq, bool) else None
    # A message may quote what came, and that may be no Unicode.
    detail = detail.encode(errors="backslashreplace").decode()
    return Refusal(_uuid_or_none(attempt), known_seq, TYPE_PREFIX + EventInvalid.slug, detail)


def _uuid_or_none(text: Any) -> str | None:
    try:
        return str(UUID(text)) if isinstance(text, str) else None
    except ValueError:
        return None
