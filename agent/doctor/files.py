"""Checks of the configuration file, of the hooks that it names, of the state directory and of the disk."""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import disk
from agent.config import Config
from agent.doctor.finding import Finding, failed, ok, skipped, warning
from agent.fetching import RESERVED_BYTES
from agent.layout import Layout
from agent.policy import MB
from agent.status import is_running
from agent.store import read_state

# A folder that a group may write, as /usr/local/bin on Debian, is its administrator's choice; a program should not be.
NOT_OF_FILES, NOT_OF_FOLDERS = stat.S_IWGRP | stat.S_IWOTH, stat.S_IWOTH
# An fsync on a healthy card takes milliseconds; a worn one takes seconds, and each step of an attempt does several.
SLOW_SYNC_S = 1.0


def configuration(path: Path, config: Config) -> Iterator[Finding]:
    """The file that names the server and the hooks: whoever can write it is the agent."""
    exposed = _exposed(path, allowed=_trusted_owners(config))
    if exposed is not None:
        yield failed("configuration", exposed.problem, exposed.advice)
    else:
        yield ok("configuration", f"{path} is read; model lines {', '.join(config.models)}; server {config.server}")


def hooks(config: Config) -> Iterator[Finding]:
    """Whether each configured command could be run, and by nobody else's will. None is run."""
    commands = {
        "hooks.pre_activate": config.hooks.pre_activate,
        "hooks.post_activate": config.hooks.post_activate,
        "hooks.health": config.hooks.health,
        "policy.busy_hook": config.policy.busy_hook,
    }
    configured = {key: Path(command[0]) for key, command in commands.items() if command}
    if not configured:
        yield skipped("hooks", "none is configured")
    for key, program in configured.items():
        yield _program(key, program, config)


def _program(key: str, program: Path, config: Config) -> Finding:
    if not program.is_file():
        return failed(key, f"{program} is no file", f"put the program there, or take {key} out of the configuration")
    if not os.access(program, os.X_OK):
        return failed(key, f"{program} may not be executed by this user", f"chmod +x {program}")
    exposed = _exposed(program, allowed=_trusted_owners(config))
    if exposed is not None:
        return failed(key, exposed.problem, exposed.advice)
    return ok(key, f"{program} can be run")


def state_directory(config: Config, layout: Layout) -> Iterator[Finding]:
    """Who holds it, whether it is all one user's, and whether what is in it can be read."""
    check = "state-directory"
    if not layout.root.is_dir():
        advice = f"make it for the agent's user, as in: install -d -o smallfleet {layout.root}"
        yield failed(check, f"{layout.root} is not there", advice)
        return
    owner = layout.root.stat().st_uid
    strange = next((path for path in _members(layout.root) if path.lstat().st_uid != owner), None)
    if strange is not None:
        yield failed(
            check,
            f"{strange} belongs to another user than {layout.root}",
            f"chown -R --reference={layout.root} {layout.root}",
        )
    elif not os.access(layout.root, os.W_OK):
        yield warning(check, f"{layout.root} is not writable for this user", "run doctor as the agent's user")
    else:
        holder = "an agent runs on it" if is_running(layout) else "no agent runs on it"
        yield ok(check, f"{layout.root}: {holder}")
    if layout.state.exists() and read_state(layout) is None:
        yield failed(
            "state", f"{layout.state} cannot be read", "the agent sets it aside at its next start; models stay"
        )
    elif layout.state.with_suffix(".json.damaged").exists():
        damaged = layout.state.with_suffix(".json.damaged")
        yield warning("state", f"{damaged} was set aside once", "look for what damaged it, then remove it")
    else:
        yield ok("state", "readable" if layout.state.exists() else "none yet")


def space(config: Config, layout: Layout) -> Iterator[Finding]:
    """Whether the disk takes bytes, keeps them, and has room."""
    if not layout.root.is_dir():
        yield skipped("disk", f"{layout.root} is not there")
        return
    free_bytes = disk.free_bytes(layout.root)
    least_bytes = max(RESERVED_BYTES, int(config.policy.free_disk_mb * MB))
    if free_bytes is None:
        yield skipped("disk-space", "the file system does not say how much is free")
    elif free_bytes < least_bytes:
        detail = f"{free_bytes / MB:.1f} MB are free, at least {least_bytes / MB:.1f} MB are to stay so"
        yield failed("disk-space", detail, "make room, or lower policy.free_disk_mb")
    else:
        yield ok("disk-space", f"{free_bytes / MB:.1f} MB are free")
    yield _durable(layout.root)


def _durable(folder: Path) -> Finding:
    if not os.access(folder, os.W_OK):
        return skipped("disk-write", f"{folder} is not writable for this user")
    started_at = time.monotonic()
    try:
        disk.prove_durable(folder)
    except OSError as error:
        return failed(
            "disk-write", f"{folder}: {error.strerror}", "remount it writable, make room, or replace the card"
        )
    took_s = time.monotonic() - started_at
    if took_s > SLOW_SYNC_S:
        return warning("disk-write", f"write and fsync took {took_s:.1f} s", "the card may be worn, or very busy")
    return ok("disk-write", f"write and fsync took {took_s * 1000:.0f} ms")


def _members(folder: Path) -> Iterator[Path]:
    """Everything below a folder that is not being removed at this moment."""
    for parent, folders, names in os.walk(folder):
        yield from (path for name in (*folders, *names) if (path := Path(parent, name)).is_symlink() or path.exists())


def _trusted_owners(config: Config) -> frozenset[int]:
    """Root, this user, and the user whose state directory it is."""
    owners = {0, os.geteuid()}
    if config.state_dir.is_dir():
        owners.add(config.state_dir.stat().st_uid)
    return frozenset(owners)


@dataclass(frozen=True, slots=True)
class _Exposure:
    """Who else could change a file, and what ends that."""

    problem: str
    advice: str


def _exposed(path: Path, *, allowed: frozenset[int]) -> _Exposure | None:
    """Why somebody else could change what is at a path, its folders included; None when nobody could."""
    for one in (path.resolve(), *path.resolve().parents):
        found = one.stat()
        if found.st_uid not in allowed:
            problem = f"{one} belongs to user {found.st_uid}, who could change what the agent runs or reads"
            return _Exposure(problem, f"chown root {one}")
        is_folder = stat.S_ISDIR(found.st_mode)
        is_shared = is_folder and found.st_mode & stat.S_ISVTX  # nobody moves another's files there
        if found.st_mode & (NOT_OF_FOLDERS if is_folder else NOT_OF_FILES) and not is_shared:
            problem = (
                f"{one} can be written by others than the agent's user and root (mode {stat.S_IMODE(found.st_mode):o})"
            )
            return _Exposure(problem, f"chmod {'o-w' if is_folder else 'go-w'} {one}")
    return None
