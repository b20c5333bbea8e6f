"""What the `smallfleet` command can fail with. Each class carries the process's exit code and prints as one line.

ClientError                 base
├── AuditBroken         1   the audit record's chain does not hold
├── ConfigError         2   a wrong option, no server, no token
├── Refused             3   the server understood and says no (4xx, problem+json)
├── ServerError         4   the server cannot be reached, or failed (5xx)
├── LocalFileError      5   a file on this machine is missing, unreadable, or not what was expected
└── Untrusted           6   signed metadata is missing, expired, old, or not signed by whom it should be
"""

from collections.abc import Sequence

EXIT_CODES = {
    0: "done",
    1: "a program that was started failed (demo), a limit is broken (budget check), the books differ (simulate), "
    "a variant lost more accuracy than its recipe allows (compress), the audit record was changed (audit verify), "
    "something ends soon (trust status), or a defect",
    2: "wrong usage or configuration",
    3: "refused by the server (the message has the problem's type)",
    4: "the server cannot be reached or failed",
    5: "a problem with a local file",
    6: "signed metadata is missing, expired, older than what was seen, or not signed by whom it should be; nothing was signed",
    130: "interrupted by Ctrl-C",
}


class ClientError(Exception):
    """Base: something the user can act on, told in one line."""

    exit_code = 1


class AuditBroken(ClientError):
    """The audit record was changed, cut or made anew; the message says where."""


class ConfigError(ClientError):
    """A wrong option or a missing setting; the message names it."""

    exit_code = 2


class Refused(ClientError):
    """The server's refusal, as RFC 9457 tells it. Programs branch on `type` alone.

    Attributes:
        type: stable URI of the kind of problem; `about:blank` where the answer was no problem document.
        title: the kind in words.
        status: HTTP status.
        detail: this occurrence in words, may be empty.
        errors: (field, message) pairs.
    """

    exit_code = 3

    def __init__(
        self,
        *,
        problem_type: str,
        title: str,
        status: int,
        detail: str = "",
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        fields = "; ".join(f"{field}: {message}" for field, message in errors)
        said = " ".join("; ".join(part for part in (detail, fields) if part).split())
        super().__init__(f"{title}{': ' if said else ''}{said} ({status}, {problem_type})")
        self.type = problem_type
        self.title = title
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


class ServerError(ClientError):
    """No answer, or one that only a broken server or a wrong address gives."""

    exit_code = 4


class LocalFileError(ClientError):
    """A file on this machine is missing, unreadable, or not what was expected."""

    exit_code = 5


class Untrusted(ClientError):
    """Signed metadata is missing, expired, older than what was seen, or not signed by whom it should be. Nothing was signed on top of it."""

    exit_code = 6
