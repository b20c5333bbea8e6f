"""A small fleet of four quarters: two model lines, two groups, one device, rollout and report in each. And everybody who may ask.

`digits` and `berlin` are "own" where somebody's grant is restricted, `kws` and `lyon` are not.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.test import Client
from django.utils import timezone

from access.actors import SYSTEM
from access.models import ApiToken
from access.people import set_active
from access.services import create_token, end_token
from fleet.devices import enrollment
from fleet.devices.models import Device, EnrollmentToken, Group
from fleet.rollouts.models import Rollout
from fleet.webhooks.models import Webhook
from fleet.webhooks.outbox import write_event
from registry.models import Artifact, Variant
from tests.factories import registry
from tests.factories.fleet import EnrolledDevice, make_group, make_link_class
from tests.factories.measurements import made_run, store_runs
from tests.factories.people import make_person, token_of
from tests.factories.studies import make_study
from tests.factories.trust import trust_line

LINES = ("digits", "kws")
GROUPS = ("berlin", "lyon")
Quarter = tuple[str, str]
QUARTERS: tuple[Quarter, ...] = tuple((line, group) for line in LINES for group in GROUPS)

# Who asks with a person's grants, in a session for pages and with a token for the API.
PEOPLE = (
    "", "viewer", "operator", "publisher", "admin",
    "viewer:digits", "operator:digits", "publisher:digits",
    "viewer@berlin", "operator@berlin",
    "viewer:digits@berlin", "operator:digits@berlin",
    "publisher:digits operator@berlin",
)  # fmt: skip
# Tokens of an admin that were made for less.
NARROWED = {"admin narrowed to digits": ("digits", None), "admin narrowed to berlin": (None, "berlin")}
STRANGERS = (
    "anonymous",
    "wrong token",
    "expired token",
    "revoked token",
    "token of a person switched off",
    "revoked device",
)
DEVICES = ("device", "pending device")
ASKERS = (*PEOPLE, *NARROWED, *STRANGERS, *DEVICES)


@dataclass
class World:
    """What routes are asked about, by quarter."""

    variants: dict[str, Variant] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    devices: dict[Quarter, EnrolledDevice] = field(default_factory=dict)
    pending: dict[str, EnrolledDevice] = field(default_factory=dict)
    rollouts: dict[Quarter, Rollout] = field(default_factory=dict)
    reports: dict[Quarter, UUID] = field(default_factory=dict)
    tokens: dict[str, EnrollmentToken] = field(default_factory=dict)
    person_token: ApiToken | None = None
    webhook: Webhook | None = None
    delivery: Any = None


def make_world() -> World:
    """The four quarters."""
    world = World()
    make_person("admin", "root")
    for name in LINES:
        line = registry.make_line(name)
        version = registry.make_version(line, "1.0.0", publish=True)
        registry.make_version(line, "2.0.0")
        world.variants[name] = version.variants.get()
        trust_line(line, world.variants[name])
        make_study(line, name)
    Artifact.objects.update(
        static_cost=None
    )  # as of a model that could not be counted; those of the factory are not whole
    make_link_class("lte")
    for name in GROUPS:
        world.groups[name] = make_group(name, f"site={name}")
        world.tokens[name] = _token(name, mode=EnrollmentToken.Mode.SERIALS, serials=["s-1"])[0]
        world.pending[name] = _enroll(name, f"pending-{name}", mode=EnrollmentToken.Mode.APPROVAL)
    for line_name, group in QUARTERS:
        _fill_quarter(world, line_name, group)
    owner = make_person("viewer", "owner")
    world.person_token = create_token(actor=SYSTEM, user=owner, name="theirs", scopes=["read"])[0]
    world.webhook = Webhook.objects.create(
        url="https://hooks.example.org/x", kinds=["version.published"], secret_nonce="n"
    )
    world.delivery = write_event("version.published", actor=SYSTEM, facts={}, webhooks=[world.webhook])[0]
    return world


def _fill_quarter(world: World, line: str, group: str) -> None:
    variant = world.variants[line]
    device = _enroll(group, f"{line}-{group}", models=[line])
    device.holds(variant, line=line)
    world.devices[line, group] = device
    world.rollouts[line, group] = Rollout.objects.create(
        target=variant, group=world.groups[group], by_fixed_attributes=True
    )
    run = made_run(device.row, variant.version.model_line, variant.artifact)
    store_runs([run])
    world.reports[line, group] = run.row.run_id


def _token(group: str, **wish: Any) -> tuple[EnrollmentToken, str]:
    return enrollment.create_enrollment_token(actor=SYSTEM, name=group, attributes={"site": group}, **wish)


def _enroll(group: str, name: str, **wish: Any) -> EnrolledDevice:
    row, credential = enrollment.enroll_device(token=_token(group, **wish)[1], name=name, device_class="pi5")
    device = EnrolledDevice(row)
    device.api.credentials(HTTP_AUTHORIZATION=f"Bearer {credential}")
    return device


@dataclass(frozen=True)
class Clients:
    """How somebody speaks to the API, and how to the pages."""

    api: Client
    pages: Client


def clients_of(asker: str, world: World) -> Clients:
    """Somebody of `ASKERS`, ready to ask."""
    if asker in PEOPLE:
        person = make_person(asker, "asker")
        pages = Client(raise_request_exception=False)
        pages.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        # Somebody without a grant has no token either: their API client has the session.
        api = _with(token_of(person)) if asker else pages
        return Clients(api, pages)
    api = _api_of(asker, world)
    return Clients(api, api)  # a token or a credential is nobody on pages


def _api_of(asker: str, world: World) -> Client:
    if asker in NARROWED:
        line, group = NARROWED[asker]
        owner = make_person("admin", "asker")
        scopes = ["read", "operate", "publish"] if group is None else ["read", "operate"]
        return _with(token_of(owner, *scopes, lines=(line,) if line else (), groups=(group,) if group else ()))
    match asker:
        case "anonymous":
            return Client(raise_request_exception=False)
        case "wrong token":
            return _with("sft_" + "x" * 43)
        case "device":
            return _of_device(world.devices["digits", "berlin"])
        case "pending device":
            return _of_device(world.pending["berlin"])
        case "revoked device":
            Device.objects.filter(pk=world.devices["kws", "lyon"].row.pk).update(revoked_at=timezone.now())
            return _of_device(world.devices["kws", "lyon"])
    person = make_person("admin", "asker")
    token, secret = create_token(
        actor=SYSTEM, user=person, name="t", scopes=["read", "operate", "publish", "administer"]
    )
    if asker == "revoked token":
        end_token(actor=SYSTEM, token=token)
    elif asker == "expired token":
        ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    else:
        set_active(actor=SYSTEM, user=person, is_active=False)
    return _with(secret)


def _with(secret: str) -> Client:
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})


def _of_device(device: EnrolledDevice) -> Client:
    return Client(raise_request_exception=False, **device.api._credentials)  # type: ignore[attr-defined]
