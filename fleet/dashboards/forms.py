"""The forms that are more than a button."""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.utils import timezone
from rest_framework import serializers

from access.actors import Actor
from access.models import Scope
from fleet.devices.api.serializers import MAX_DEVICES_AT_ONCE, MAX_SERIALS_AT_ONCE, MAX_USES, AttributesField
from fleet.devices.models import MAX_SERIAL_LENGTH, EnrollmentToken, Group, LinkClass
from fleet.devices.visibility import visible_groups
from fleet.webhooks.models import Kind
from registry.deltas.formats import EFFORTS
from registry.models import ModelLine, Variant, Version, validate_sha256
from registry.visibility import line_condition


class RolloutForm(forms.Form):
    """What to bring where, of what the actor operates."""

    WAIT_S = 600

    VARIANTS = (
        Variant.objects.filter(version__state=Version.State.PUBLISHED, is_live=True)
        .select_related("version__model_line")
        .order_by("version__model_line__name", "-version_id", "id")
    )

    variant = forms.ModelChoiceField(
        Variant.objects.none(), label="Variant", empty_label="Choose a published and signed variant"
    )
    group = forms.ModelChoiceField(
        Group.objects.none(), label="Group", required=False, empty_label="Every device that names the model line"
    )
    wait_for_delta_s = forms.IntegerField(
        label="Wait for a delta at most, seconds",
        min_value=0,
        max_value=7 * 86_400,
        help_text="So long an agent may wait for a patch that is still being built, before it takes a dearer way.",
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        variants, groups = self._chosen_from("variant"), self._chosen_from("group")
        variants.queryset = self.VARIANTS.filter(line_condition(actor, "version__model_line", Scope.OPERATE))
        groups.queryset = visible_groups(actor, Scope.OPERATE)
        if all(permit.group for permit in actor.permits_for(Scope.OPERATE)):
            groups.required, groups.empty_label = True, "Choose a group"

    def _chosen_from(self, name: str) -> "forms.ModelChoiceField[Any]":
        return cast("forms.ModelChoiceField[Any]", self.fields[name])


class PatchBudgetForm(forms.Form):
    """What patches may take, and how hard the encoder shall try."""

    budget_mb = forms.FloatField(label="Store, MB", required=False, min_value=0, max_value=1e9)
    budget_s = forms.FloatField(label="Workers, seconds", required=False, min_value=0, max_value=1e9)
    effort = forms.ChoiceField(
        label="Effort", required=False, choices=[("", "by size"), *((effort, effort) for effort in EFFORTS)]
    )

    def wanted(self) -> dict[str, Any]:
        """The valid wish, as the service's arguments."""
        megabytes = self.cleaned_data["budget_mb"]
        return {
            "storage_bytes": None if megabytes is None else megabytes * 1e6,
            "build_s": self.cleaned_data["budget_s"],
            "effort": self.cleaned_data["effort"],
        }


class SerialsField(forms.CharField):
    """Serials, one a line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}), **options)

    def clean(self, value: Any) -> list[str]:
        """The serials, without blanks around them and without empty lines."""
        serials = [line.strip() for line in super().clean(value).splitlines() if line.strip()]
        if len(serials) > MAX_SERIALS_AT_ONCE:
            raise ValidationError(f"at most {MAX_SERIALS_AT_ONCE:,} at once, these are {len(serials):,}")
        too_long = next((serial for serial in serials if len(serial) > MAX_SERIAL_LENGTH), None)
        if too_long is not None:
            raise ValidationError(f"a serial has at most {MAX_SERIAL_LENGTH} characters: {too_long[:40]}…")
        return serials


class AttributesTextField(forms.CharField):
    """Attributes as they stand in queries: `site=berlin, floor=2`."""

    def clean(self, value: Any) -> dict[str, str]:
        """By key."""
        terms = [term.strip() for term in super().clean(value).split(",") if term.strip()]
        pairs = [term.partition("=") for term in terms]
        if not all(sign and text.strip() for _key, sign, text in pairs):
            raise ValidationError("write key=value, and a comma between several")
        try:
            attributes: dict[str, str] = AttributesField().run_validation(
                {key.strip(): text.strip() for key, _sign, text in pairs}
            )
        except serializers.ValidationError as error:
            raise ValidationError(str(error)) from error
        return attributes


class EnrollmentTokenForm(forms.Form):
    """A token for some devices, with what they shall be."""

    HOURS = 24

    name = forms.CharField(label="Name", max_length=100, help_text="For people: which devices, or which batch.")
    mode = forms.ChoiceField(
        label="What lets a device in",
        choices=EnrollmentToken.Mode.choices,
        help_text="Of serials, those below, and more that can be added later.",
    )
    uses = forms.IntegerField(
        label="For how many devices",
        required=False,
        min_value=1,
        max_value=MAX_USES,
        help_text="One, if this stays empty; with serials as many as those.",
    )
    hours = forms.IntegerField(label="Ends after, hours", min_value=1, initial=HOURS)
    models = forms.ModelMultipleChoiceField(
        ModelLine.objects.none(),
        label="May install only",
        required=False,
        to_field_name="name",
        widget=forms.CheckboxSelectMultiple,
        help_text="Any model line, if none is ticked.",
    )
    group = forms.ModelChoiceField(
        Group.objects.none(),
        label="Puts them into the group",
        required=False,
        empty_label="No group",
        help_text="One whose query is made of equalities: these become attributes that a device cannot change.",
    )
    link_class = forms.ModelChoiceField(LinkClass.objects.all(), label="Link class", required=False, empty_label="None")
    attributes = AttributesTextField(
        label="Fixed attributes", required=False, max_length=2000, help_text="As site=berlin, floor=2"
    )
    serials = SerialsField(label="Serials, one a line", required=False)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        most = settings.SMALLFLEET_ENROLLMENT_TOKEN_MAX_DAYS * 24
        self.fields["hours"].validators.append(MaxValueValidator(most))
        self.fields["hours"].help_text = f"At most {most:,}."
        lines = ModelLine.objects.filter(line_condition(actor, scope=Scope.READ)).order_by("name")
        cast("forms.ModelChoiceField[Any]", self.fields["models"]).queryset = lines
        cast("forms.ModelChoiceField[Any]", self.fields["group"]).queryset = visible_groups(actor, Scope.OPERATE)

    def wanted(self) -> dict[str, Any]:
        """The valid wish, as the service's arguments."""
        wish = dict(self.cleaned_data)
        wish["expires_at"] = timezone.now() + timedelta(hours=wish.pop("hours"))
        wish["models"] = [line.name for line in wish["models"]]
        return wish


class SerialsForm(forms.Form):
    """More serials for a token."""

    serials = SerialsField(label="Serials, one a line")


class DevicesField(forms.Field):
    """Ids of devices that were ticked."""

    widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> list[UUID]:
        """At least one, and no more than one request of the API may name."""
        if not value or len(value) > MAX_DEVICES_AT_ONCE:
            raise ValidationError(f"tick 1 to {MAX_DEVICES_AT_ONCE} devices")
        try:
            return [UUID(one) for one in value]
        except ValueError as error:
            raise ValidationError("an id is no UUID") from error


class PendingForm(forms.Form):
    """Ticked devices, and an operator's word on them."""

    verb = forms.ChoiceField(choices=[("approve", "approve"), ("reject", "reject")])
    devices = DevicesField()


class FingerprintField(forms.CharField):
    """A SHA-256 as `openssl x509 -fingerprint -sha256` prints it, colons and all, or plain."""

    def to_python(self, value: Any) -> str:
        """In lower-case hex."""
        text = super().to_python(value) or ""
        return text.rpartition("=")[2].replace(":", "").lower()


class CertificateForm(forms.Form):
    """The fingerprint of a client certificate; empty for none."""

    sha256 = FingerprintField(required=False, validators=[validate_sha256])


class TokenForm(forms.Form):
    """A token of one's own: what it is for, and what it may."""

    name = forms.CharField(label="What it is for", max_length=100)
    scopes = forms.MultipleChoiceField(label="May", widget=forms.CheckboxSelectMultiple)
    model_lines = forms.CharField(label="Only these model lines", required=False, max_length=1000)
    groups = forms.CharField(label="Only these groups", required=False, max_length=1000)
    days = forms.IntegerField(label="Ends after, days", min_value=1, max_value=3650, initial=90)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scopes = cast("forms.MultipleChoiceField", self.fields["scopes"])
        scopes.choices = [(scope.value, scope.value) for scope in Scope if scope in actor.scopes]

    def wanted(self) -> dict[str, Any]:
        """The valid wish, as the service's arguments."""
        typed = self.cleaned_data
        return {
            "name": typed["name"],
            "scopes": typed["scopes"],
            "model_lines": typed["model_lines"].split(),
            "groups": typed["groups"].split(),
            "expires_at": timezone.now() + timedelta(days=typed["days"]),
        }


class AuditFilterForm(forms.Form):
    """Which audit records; every field may be empty."""

    actor = forms.CharField(label="Who", required=False, max_length=200)
    action = forms.CharField(label="Action", required=False, max_length=60)
    subject = forms.CharField(label="Subject begins with", required=False, max_length=300)
    since = forms.DateField(label="From", required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label="To", required=False, widget=forms.DateInput({"type": "date"}))
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)


class WebhookForm(forms.Form):
    """Where, and of what."""

    url = forms.CharField(label="Address", max_length=500, widget=forms.URLInput({"placeholder": "https://"}))
    kinds = forms.MultipleChoiceField(
        label="Is told of", choices=[(kind.value, kind.label) for kind in Kind], widget=forms.CheckboxSelectMultiple
    )
