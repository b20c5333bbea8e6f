"""Everything that can go wrong with a patch, one class each.

    DeltaError
    ├── PatchMalformed            the bytes are no patch, are cut short, or contradict themselves
    ├── PatchVersionUnsupported   a patch of a format version that this decoder does not read
    ├── WrongBase                 the base file is not the one that the patch was made from
    ├── LimitExceeded             the patch asks for more than the caller allows (size, memory, spans, time)
    ├── MemoryExhausted           the process may not take the memory that the patch needs within its limits
    ├── OutputMismatch            the restored bytes do not have the digest that the patch promises
    ├── OutputUnwritable          the output could not be written: disk full, no permission
    └── EncodingFailed            the encoder's own patch did not restore the file: a defect, never shipped

Only the exit codes are read by programs; 1 is left to other errors and 2 to wrong usage.
"""

from typing import ClassVar


class DeltaError(Exception):
    """Base of every error of the codec."""

    slug: ClassVar[str] = "delta-error"
    title: ClassVar[str] = "The codec failed"
    exit_code: ClassVar[int] = 10


class PatchMalformed(DeltaError):
    """The bytes are no patch, are cut short, or contradict themselves."""

    slug = "patch-malformed"
    title = "The patch is damaged or is no patch"
    exit_code = 11


class PatchVersionUnsupported(DeltaError):
    """The patch has a format version that this decoder does not read."""

    slug = "patch-version-unsupported"
    title = "The patch has an unsupported format version"
    exit_code = 12

    def __init__(self, version: int, supported: tuple[int, ...]) -> None:
        self.version = version
        self.supported = supported
        readable = ", ".join(map(str, supported))
        super().__init__(f"the patch has format version {version}, this decoder reads {readable}: update the decoder")


class WrongBase(DeltaError):
    """The base file is not the one that the patch was made from."""

    slug = "wrong-base"
    title = "The patch was made for another base"
    exit_code = 13

    def __init__(self, expected: str, actual: str) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(f"the patch needs the base {expected}, got {actual}: ask for a patch from the file you hold")


class LimitExceeded(DeltaError):
    """The patch asks for more than the caller allows."""

    slug = "limit-exceeded"
    title = "The patch exceeds a limit"
    exit_code = 14

    def __init__(self, limit: str, *, allowed: float, asked: float) -> None:
        self.limit = limit
        self.allowed = allowed
        self.asked = asked
        super().__init__(f"{limit} is limited to {allowed}, the patch needs {asked}: raise it or fetch the raw file")


class MemoryExhausted(DeltaError):
    """The process may not take the memory that the patch needs, though the patch is within `Limits`."""

    slug = "memory-exhausted"
    title = "The machine refused memory"
    exit_code = 18


class OutputMismatch(DeltaError):
    """The restored bytes do not have the digest that the patch promises."""

    slug = "output-mismatch"
    title = "The restored file has the wrong digest"
    exit_code = 15

    def __init__(self, expected: str, actual: str) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(f"expected sha256 {expected}, restored {actual}: the patch is damaged, fetch it again")


class OutputUnwritable(DeltaError):
    """The output could not be written; nothing of it is left on disk."""

    slug = "output-unwritable"
    title = "The restored file could not be written"
    exit_code = 16


class EncodingFailed(DeltaError):
    """The encoder's own patch did not restore the file; no patch was written."""

    slug = "encoding-failed"
    title = "The patch did not restore the file"
    exit_code = 17
