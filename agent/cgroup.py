"""Where the service manager delegated a control group (cgroup v2): one limit for all children together.

The limits that a child sets on itself (`benchmarks/confine.py`) hold for one process each; a group bounds what all of them use
at once, page cache and shared memory included, and how many there are. Processes may not live in a group whose controllers
are shared out (cgroups(7), "no internal processes"), so the daemon moves to a group of its own beside that of its children;
each child joins its group by itself, in `confine`. Without delegation nothing changes and the children's own limits are all.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.confine import CHILDREN_GROUP, DAEMON_GROUP

# Set by the unit that asks systemd to delegate; a group that was not delegated to the agent is somebody else's.
DELEGATED_VARIABLE = "SMALLFLEET_AGENT_DELEGATED"
CONTROLLERS = ("memory", "pids")
MAX_PROCESSES = 64
MIB = 1 << 20

log = logging.getLogger(__name__)


def share_out(environment: Mapping[str, str], *, memory_limit_mib: int, group: Path | None) -> None:
    """Put the children of this process under one limit, as far as the machine allows; the log says which limits hold."""
    why = _share_out(environment, memory_limit_mib * MIB, group)
    log.info("children_limited", extra={"by": "rlimit", "why": why} if why else {"by": "cgroup"})


def _share_out(environment: Mapping[str, str], memory_bytes: int, group: Path | None) -> str:
    """Empty when it is done, otherwise why not."""
    if environment.get(DELEGATED_VARIABLE) != "1":
        return f"no delegated control group: {DELEGATED_VARIABLE} is not set"
    if group is None:
        return "this machine has no cgroup v2"
    try:
        missing = sorted(set(CONTROLLERS) - set((group / "cgroup.controllers").read_text().split()))
        if missing:
            return f"the control group lacks {', '.join(missing)}"
        daemon, children = group / DAEMON_GROUP, group / CHILDREN_GROUP
        for made in (daemon, children):
            made.mkdir(exist_ok=True)
        (daemon / "cgroup.procs").write_text(str(os.getpid()))
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))
        (children / "memory.max").write_text(str(memory_bytes))
        (children / "pids.max").write_text(str(MAX_PROCESSES))
    except OSError as error:
        return str(error)
    return ""
