"""Checks of what the agent's children need: the runtime on a tiny model, the decoder; within the limits that are configured."""

from collections.abc import Iterator
from pathlib import Path

from agent import children, wire
from agent.config import Config
from agent.doctor.finding import Finding, failed, ok
from agent.errors import WireInvalid
from benchmarks.checks import load_check
from benchmarks.errors import BenchmarkError

TINY_MODEL = Path(__file__).with_name("tiny.onnx")
TIMEOUT_S = 60.0
MIB = 1 << 20
REINSTALL = "install the agent's packages again: pip install 'smallfleet[agent]'"


def runtime(config: Config) -> Iterator[Finding]:
    """Import everything in one child, and run a tiny model in another."""
    yield from _imports()
    yield _runs(config)


def _imports() -> Iterator[Finding]:
    ended = children.run(children.python_module("agent.doctor.importing"), timeout_s=TIMEOUT_S)
    try:
        found = wire.parse_json(ended.stdout, "the child's answer") if ended.returncode == 0 else None
    except WireInvalid:
        found = None
    if not isinstance(found, dict):
        why = "no answer in time" if ended.returncode is None else f"exit {ended.returncode}: {ended.stderr_end[-200:]}"
        yield failed("packages", f"the child that imports them ended badly: {why}", REINSTALL)
        return
    for name, version in found.items():
        if isinstance(version, dict):
            yield failed(f"package-{name}", str(version.get("error")), REINSTALL)
        else:
            yield ok(f"package-{name}", version or "can be imported")


def _runs(config: Config) -> Finding:
    limits = config.children
    try:
        load_check(
            TINY_MODEL,
            timeout_s=min(TIMEOUT_S, limits.timeout_s),
            memory_limit_bytes=limits.memory_limit_mib * MIB,
            nice=limits.nice,
        )
    except BenchmarkError as error:
        return failed("runtime", f"a tiny model does not run: {error}", "see the packages above, and [children]")
    return ok("runtime", f"a tiny model runs within {limits.memory_limit_mib} MiB")
