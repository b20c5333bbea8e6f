"""The child that decodes one patch: `python -m agent.apply_child`. Its bytes are trusted by nobody.

It limits itself, imports the decoder, opens base, patch and output, and shuts itself in (`benchmarks.sandbox`): from then on
it can read and write what it has open, and no more. Only then it reads the patch. Its answer is one JSON line on stdout:
`{"error": null, "peak_memory_bytes": n}` or `{"error": slug, "detail": text}`. Whether the output is the target is
decided by the parent, which hashes it, and which removes what a failure left.
"""

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.errors import DISK_ERRNOS, DISK_FULL
from benchmarks.confine import confine
from benchmarks.sandbox import SandboxUnavailable, keep_descriptors

MIB = 1 << 20
# Room in a file for what the decoder may write beside the output's own bytes: none, but RLIMIT_FSIZE must not be the
# limit that a correct patch meets first.
FILE_SLACK_BYTES = 1 << 16


def main(arguments: list[str] | None = None) -> int:
    """Limit this process, apply the patch, print the answer."""
    options = _options(arguments)
    # A write above RLIMIT_FSIZE must be an error that can be reported, not a death.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    confine(
        parent_pid=os.getppid(),
        nice=options.nice,
        cpu_s=max(1, int(options.timeout_s)),
        file_bytes=options.output_bytes + FILE_SLACK_BYTES,
        address_space_bytes=options.memory_limit_mib * MIB,
        open_files=64,
    )
    answer = _apply(options)
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0 if answer["error"] is None else 3


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="agent.apply_child")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--patch", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--output-bytes", type=int, required=True)
    parser.add_argument("--memory-limit-mib", type=int, required=True)
    parser.add_argument("--timeout-s", type=float, required=True)
    parser.add_argument("--nice", type=int, required=True)
    parser.add_argument("--require-sandbox", action="store_true")
    return parser.parse_args(arguments)


def _apply(options: argparse.Namespace) -> dict[str, Any]:
    from delta.decoder import Limits, restore
    from delta.errors import DeltaError
    from delta.output import created

    limits = Limits(output_bytes=options.output_bytes, wall_s=options.timeout_s)
    try:
        with (
            _opened(options.patch) as patch,
            _opened(options.base) as base,
            _opened(Path("/proc/self/status")) as status,
            created(options.out) as sink,
        ):
            if patch is None or status is None:
                raise RuntimeError("only a base may be left out")
            keep_descriptors(required=options.require_sandbox)
            restore(base, patch, sink, limits=limits)
            return {"error": None, "peak_memory_bytes": _peak_memory_bytes(status)}
    except SandboxUnavailable as error:
        return {"error": "no-sandbox", "detail": str(error)[:500]}
    except DeltaError as error:
        refused = isinstance(error.__cause__, OSError) and error.__cause__.errno in DISK_ERRNOS
        return {"error": DISK_FULL if refused else error.slug, "detail": str(error)[:500]}
    except OSError as error:
        refused = error.errno in DISK_ERRNOS
        return {"error": DISK_FULL if refused else "patch-unreadable", "detail": str(error)[:500]}
    except MemoryError:
        return {"error": "memory-limit", "detail": f"more than {options.memory_limit_mib} MiB are needed"}


@contextmanager
def _opened(path: Path | None) -> Iterator[int | None]:
    if path is None:
        yield None
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _peak_memory_bytes(status: int) -> int | None:
    """VmHWM of this process (never ru_maxrss, which a child inherits from its parent)."""
    match = re.search(rb"^VmHWM:\s+(\d+) kB$", os.pread(status, 1 << 16, 0), re.MULTILINE)
    return None if match is None else int(match[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
