"""Everything that can go wrong in the agent, one class each.

    AgentError                  1
    ├── WrongConfiguration      2   a key of agent.toml or of the environment; the message names it
    ├── StateDirectoryBusy      3   another agent runs on the same state directory
    ├── NotEnrolled             4   no identity.json; also: enrolled already
    ├── RequestRefused          5   the server's answer is final: asking again the same way is no use
    │   ├── Unauthenticated         401: the credential is revoked or unknown
    │   ├── SayFirst                409 say-first: the server wants POST /poll
    │   └── RedirectRefused         a redirect to a scheme or an address that is not allowed, or too many of them
    ├── ServerUnavailable       6   nothing wrong with the request: try again later
    │   ├── NotApproved             403 device-not-approved: an operator has not said yes yet
    │   └── TooSlow                 the bytes come slower than the link can be worth
    ├── WireInvalid             8   an answer that breaks the contract; nothing of it was used
    ├── StateDirectoryUnusable  9   the state directory cannot be read or written; the message names path and reason
    ├── RuleRefused             10  a rule of [policy] holds an installation from a file back; the message names it
    ├── NotTrusted              12  a model line without a root that this device trusts, or metadata that forbids an installation
    │   └── PinInvalid          2   the digest of a root, or the token that brings it, cannot be read
    └── StepFailed              7   one step of an attempt failed; the old model is still active
        ├── TransferRejected        the bytes are not the ones announced: length or digest
        ├── ApplyFailed             the patch did not give the target
        ├── SmokeFailed             the model does not do what its contract and sample set say
        ├── ShadowFailed            the model does not come through beside the one in service
        ├── BundleInvalid           a bundle without what it needs, or with what it must not have
        └── DiskRefused             disk full or read-only

The number is the exit code of the command that ends with this error; 0 is success.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

# What a full, over-quota, read-only or broken disk answers; no socket answers these.
DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
DISK_FULL = "disk-full"


class AgentError(Exception):
    """Base of every error of the agent."""

    slug: ClassVar[str] = "agent-error"
    title: ClassVar[str] = "The agent failed"
    exit_code: ClassVar[int] = 1


class WrongConfiguration(AgentError):
    """A value of the configuration is missing or wrong."""

    slug = "wrong-configuration"
    title = "The configuration is wrong"
    exit_code = 2

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        super().__init__(f"{key}: {problem}")


class StateDirectoryBusy(AgentError):
    """Another agent holds the lock of this state directory."""

    slug = "state-directory-busy"
    title = "Another agent runs on this state directory"
    exit_code = 3


class StateDirectoryUnusable(AgentError):
    """The state directory cannot be made, read or written."""

    slug = "state-directory-unusable"
    title = "The state directory cannot be used"
    exit_code = 9

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}; the state directory must be a writable folder of the agent's own")


class NotEnrolled(AgentError):
    """There is no identity where one is needed, or one where none may be."""

    slug = "not-enrolled"
    title = "The device's identity is not in order"
    exit_code = 4


class RequestRefused(AgentError):
    """The server refused; the same request will be refused again."""

    slug = "request-refused"
    title = "The server refused the request"
    exit_code = 5

    def __init__(self, status: int, problem: str, detail: str) -> None:
        self.status = status
        self.problem = problem
        super().__init__(f"{status} {problem}: {detail}")


class Unauthenticated(RequestRefused):
    """The credential is revoked or unknown."""

    slug = "unauthenticated"
    title = "The server does not know this device"


class SayFirst(RequestRefused):
    """The server has not heard what this device has."""

    slug = "say-first"
    title = "The server wants to hear what the device has"


class RedirectRefused(RequestRefused):
    """A redirect that is not followed."""

    slug = "redirect-refused"
    title = "The redirect is not followed"


class ServerUnavailable(AgentError):
    """No answer, half an answer, or one that says to come back later."""

    slug = "server-unavailable"
    title = "The server could not answer"
    exit_code = 6

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(detail)


class NotApproved(ServerUnavailable):
    """The device enrolled, and an operator has to approve it: nothing to repair here, only to wait for."""

    slug = "not-approved"
    title = "An operator has to approve this device first"


class TooSlow(ServerUnavailable):
    """The deadline of a request passed while bytes were still coming."""

    slug = "too-slow"
    title = "The server answers too slowly"


class WireInvalid(AgentError):
    """An answer that breaks the contract in `docs/wire.md`."""

    slug = "wire-invalid"
    title = "The answer breaks the contract"
    exit_code = 8


class RuleRefused(AgentError):
    """The owner's rules hold back what the owner's command asks for."""

    slug = "rule-refused"
    title = "A rule of [policy] holds this back"
    exit_code = 10


class NotTrusted(AgentError):
    """There is no root to trust for a model line, or what it leads to does not allow what is asked for."""

    slug = "not-trusted"
    title = "There is no trust for this"
    exit_code = 12


class PinInvalid(NotTrusted):
    """The digest of a first root cannot be read."""

    slug = "pin-invalid"
    title = "The pin of a root is wrong"
    exit_code = 2


class StepFailed(AgentError):
    """One step of an attempt failed. `reason` is the slug that goes into the event."""

    slug = "step-failed"
    title = "A step of the attempt failed"
    exit_code = 7

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class TransferRejected(StepFailed):
    """The bytes are not the ones announced."""

    slug = "transfer-rejected"
    title = "The bytes are not the ones announced"


class ApplyFailed(StepFailed):
    """A patch did not give its target."""

    slug = "apply-failed"
    title = "The patch did not give the target"


class SmokeFailed(StepFailed):
    """A model that does not load, or does not compute what its sample set says."""

    slug = "smoke-failed"
    title = "The model failed its smoke run"


class ShadowFailed(StepFailed):
    """A model that does not come to an end where the one in service does."""

    slug = "shadow-failed"
    title = "The model failed its shadow run"


class BundleInvalid(StepFailed):
    """A bundle without what it needs, or with what it must not have."""

    slug = "bundle-invalid"
    title = "The bundle cannot be used"


class DiskRefused(StepFailed):
    """The disk takes no more bytes."""

    slug = "disk-refused"
    title = "The disk is full or read-only"


def of_local_failure(error: OSError, state_dir: Path) -> AgentError:
    """The agent's own error for an `OSError` that ends a command, so that its exit code is one of the tree above."""
    named = error.filename
    path = Path(os.fsdecode(named)) if isinstance(named, str | bytes | os.PathLike) else Path()
    reason = error.strerror or str(error)
    if path == state_dir or state_dir in path.parents or (path.is_absolute() and path in state_dir.parents):
        return StateDirectoryUnusable(path, reason)
    if error.errno in DISK_ERRNOS:  # of a write or an fsync, which know no name
        return StateDirectoryUnusable(state_dir, reason)
    return AgentError(str(error))


def ending(work: Callable[[], int]) -> int:
    """Run a command to its exit code; an error becomes its message on standard error and its own code."""
    try:
        return work()
    except AgentError as error:
        sys.stderr.write(f"{error.title}: {error}\n")
        return error.exit_code
