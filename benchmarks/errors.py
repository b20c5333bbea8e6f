"""What can go wrong while measuring or checking a model.

    BenchmarkError                  1   benchmark-failed
      RequestInvalid                2   request-invalid
      ModelUnloadable               3   model-unloadable
      InferenceFailed               4   inference-failed
      SamplesUnreadable             5   samples-unreadable
      MemoryExceeded                6   memory-exceeded
      ChildTimedOut                 7   child-timed-out
      ChildCrashed                  8   child-crashed
      RuntimeMissing                9   runtime-missing
      ReportInvalid                10   report-invalid
      ProviderUnavailable          11   provider-unavailable

`exit_code` is what `smallfleet bench` ends with; `slug` is stable and what other programs branch on.
"""

import signal as signals
from typing import ClassVar


class BenchmarkError(Exception):
    """Base of every error of this package."""

    exit_code: ClassVar[int] = 1
    slug: ClassVar[str] = "benchmark-failed"
    title: ClassVar[str] = "The benchmark failed"


class RequestInvalid(BenchmarkError):
    """The caller asked for something that makes no sense, such as an input shape of the wrong rank."""

    exit_code = 2
    slug = "request-invalid"
    title = "The request is not valid"


class ModelUnloadable(BenchmarkError):
    """The runtime refuses the file: not there, not ONNX, truncated, or with operators it does not have."""

    exit_code = 3
    slug = "model-unloadable"
    title = "The model does not load"


class InferenceFailed(BenchmarkError):
    """The model loads and one inference on the given or generated inputs fails."""

    exit_code = 4
    slug = "inference-failed"
    title = "An inference failed"


class SamplesUnreadable(BenchmarkError):
    """The sample set is not there, is not an npz of arrays, or does not fit together."""

    exit_code = 5
    slug = "samples-unreadable"
    title = "The sample set cannot be read"


class MemoryExceeded(BenchmarkError):
    """The child reached the memory limit it was given."""

    exit_code = 6
    slug = "memory-exceeded"
    title = "The memory limit was reached"


class ChildTimedOut(BenchmarkError):
    """The child did not answer in time and was killed with its process group."""

    exit_code = 7
    slug = "child-timed-out"
    title = "The measuring process took too long"


class ChildCrashed(BenchmarkError):
    """The child ended without an answer. `signal` is the number that killed it, or None when it exited by itself."""

    exit_code = 8
    slug = "child-crashed"
    title = "The measuring process crashed"

    def __init__(self, message: str, *, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal

    @classmethod
    def of_exit(cls, return_code: int, stderr_tail: str) -> "ChildCrashed":
        """The error for a child that ended with `return_code` (negative: the signal) before it answered."""
        said = f"; its last words: {stderr_tail}" if stderr_tail else ""
        if return_code >= 0:
            return cls(f"the measuring process exited with {return_code} and no answer{said}")
        name = signals.Signals(-return_code).name
        hint = " (perhaps by the kernel, out of memory)" if -return_code == signals.SIGKILL else ""
        return cls(f"the measuring process was killed by {name}{hint}{said}", signal=-return_code)


class RuntimeMissing(BenchmarkError):
    """A package that the measuring process needs is not installed."""

    exit_code = 9
    slug = "runtime-missing"
    title = "A needed package is missing"


class ReportInvalid(BenchmarkError):
    """A report breaks its schema, or has a null without a reason."""

    exit_code = 10
    slug = "report-invalid"
    title = "The report is not valid"


class ProviderUnavailable(BenchmarkError):
    """The runtime has not the execution provider that was asked for, or it does not start on this device."""

    exit_code = 11
    slug = "provider-unavailable"
    title = "An execution provider is missing"


def error_classes() -> dict[str, type[BenchmarkError]]:
    """Every class of the tree by slug."""
    return {cls.slug: cls for cls in (BenchmarkError, *BenchmarkError.__subclasses__())}
