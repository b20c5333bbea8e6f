"""What the fleet refuses, continuing the tree of `access.errors`.

ProblemError
├── EnrollmentRefused     403  the token is wrong, used up or expired: which is not said
├── DeviceNotApproved     403  it enrolled, and waits for an operator's word
├── TooManyPending        429  so many wait for that word that no other may
├── SayFirst              409  the server does not know what the device holds: POST /poll
├── QueryInvalid          400  a group's query cannot be read
├── WebhookAddress        400  nothing may be sent there
├── EventRefused          (never an answer's status; stands in `refused`)
│   ├── EventInvalid
│   └── AttemptForeign
└── FleetConflict         409
    ├── GroupTaken        409
    ├── PresetUnusable    409  a group whose query cannot be set on a device as attributes
    ├── CertificateTaken  409  another device has the client certificate
    ├── RolloutState      409  the rollout cannot go from its state to that one
    ├── RolloutTarget     409  the target is a draft or was yanked
    ├── RolloutOverlap    409  an installation would have two running rollouts
    └── CohortEmpty       409
"""

from access.errors import ProblemError


class EnrollmentRefused(ProblemError):
    """The enrollment token is wrong, used up or expired."""

    slug = "enrollment-refused"
    title = "The enrollment token is not valid"
    status = 403


class DeviceNotApproved(ProblemError):
    """The device's credential is good for nothing until an operator approves the device."""

    slug = "device-not-approved"
    title = "The device waits for approval"
    status = 403


class TooManyPending(ProblemError):
    """Enough devices wait for an operator's word."""

    slug = "too-many-pending"
    title = "Too many devices wait for approval"
    status = 429


class SayFirst(ProblemError):
    """The server does not know what this device holds."""

    slug = "say-first"
    title = "Say first what the device holds"
    status = 409


class WebhookAddress(ProblemError):
    """An address that webhooks may not be sent to."""

    slug = "webhook-address"
    title = "Webhooks cannot be sent to that address"
    status = 400


class QueryInvalid(ProblemError):
    """A group's query cannot be read."""

    slug = "query-invalid"
    title = "The query cannot be read"
    status = 400


class EventRefused(ProblemError):
    """A message of a device that will never be accepted."""

    slug = "event-refused"
    title = "The message was refused"
    status = 422


class EventInvalid(EventRefused):
    """A message with a wrong shape or an unknown model line or target."""

    slug = "event-invalid"
    title = "The message does not have the right shape"


class AttemptForeign(EventRefused):
    """The attempt or report belongs to another device."""

    slug = "attempt-foreign"
    title = "The attempt belongs to another device"


class FleetConflict(ProblemError):
    """What is asked contradicts what is there."""

    slug = "fleet-conflict"
    title = "This contradicts what is there"
    status = 409


class GroupTaken(FleetConflict):
    """A group or link class of this name exists with other properties."""

    slug = "group-taken"
    title = "The name is taken"


class PresetUnusable(FleetConflict):
    """A group's query cannot be set on a device as attributes."""

    slug = "preset-unusable"
    title = "The group is no preset"


class CertificateTaken(FleetConflict):
    """Two devices cannot share a client certificate."""

    slug = "certificate-taken"
    title = "Another device has this certificate"


class RolloutState(FleetConflict):
    """The rollout cannot go from its state to that one."""

    slug = "rollout-state"
    title = "The rollout is in another state"


class RolloutTarget(FleetConflict):
    """The target is not published."""

    slug = "rollout-target"
    title = "The target cannot be rolled out"


class RolloutOverlap(FleetConflict):
    """An installation would stand under two running rollouts."""

    slug = "rollout-overlap"
    title = "Another rollout is running there"


class CohortEmpty(FleetConflict):
    """No installation matches the rollout's group."""

    slug = "cohort-empty"
    title = "The rollout would reach nothing"
