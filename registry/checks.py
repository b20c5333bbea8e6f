"""System checks: said before the first upload fails."""

import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from benchmarks import seccomp
from registry.storage import store
from registry.storage.folder import FolderStore
from registry.storage.s3 import S3Store
from registry.trust.keys import ROLES, configured_key, key_file

SMALLEST_INSPECTION_BYTES = 256 * 1024**2
LONGEST_TIMESTAMP_LIFE_S = 30 * 86_400


def check_store(**_options: Any) -> Iterable[CheckMessage]:
    """The store is named rightly and can be written to."""
    try:
        chosen = store()
    except ImproperlyConfigured as error:
        return [
            Error(
                str(error), hint="Set SMALLFLEET_STORE to an absolute path or s3://bucket/prefix.", id="registry.E001"
            )
        ]
    if isinstance(chosen, FolderStore):
        return [*_writable(chosen.root, "SMALLFLEET_STORE", "registry.E002"), *_one_filesystem(chosen)]
    if isinstance(chosen, S3Store):
        return [*_boto3_present(), *_writable(chosen.staging, "SMALLFLEET_STAGING", "registry.E003")]
    return []


def check_inspection(**_options: Any) -> Iterable[CheckMessage]:
    """The child that checks models has the memory to start at all."""
    memory_bytes = settings.SMALLFLEET_INSPECTION_MEMORY_BYTES
    if 0 < memory_bytes < SMALLEST_INSPECTION_BYTES:
        return [
            checks.Warning(
                f"SMALLFLEET_INSPECTION_MEMORY_BYTES is {memory_bytes}: every model will be refused.",
                hint=f"Leave it unset (by the file's size), or set at least {SMALLEST_INSPECTION_BYTES}.",
                id="registry.W001",
            )
        ]
    return []


def check_trust(**_options: Any) -> Iterable[CheckMessage]:
    """The server's online keys are nobody else's to read, and its timestamps live neither too short nor too long."""
    life_s = settings.SMALLFLEET_TIMESTAMP_LIFE_S
    if not 1 <= life_s <= LONGEST_TIMESTAMP_LIFE_S:
        yield Error(
            f"SMALLFLEET_TIMESTAMP_LIFE_S is {life_s}",
            hint=f"Choose 1 to {LONGEST_TIMESTAMP_LIFE_S} seconds; a week (604800) lets the worker stand still for six days.",
            id="registry.E006",
        )
    for role in ROLES:
        file = key_file(role)
        if not configured_key(role) and file.exists() and file.stat().st_mode & 0o077:
            yield Error(
                f"{file} can be read by others than its owner.",
                hint=f"Run `chmod 600 {file}`, and put a new key in its place if somebody may have read it.",
                id="registry.E007",
            )


def check_sandbox(**_options: Any) -> Iterable[CheckMessage]:
    """The children that check models and build patches can shut themselves in."""
    if seccomp.is_available():
        return []
    words = "This kernel cannot filter system calls (seccomp), or the architecture is not known here"
    if settings.SMALLFLEET_SANDBOX_REQUIRED:
        hint = "Use a kernel with CONFIG_SECCOMP_FILTER; SMALLFLEET_SANDBOX_REQUIRED=0 goes on without, where uploads are trusted."
        return [Error(f"{words}: no model is checked and no patch is built.", hint=hint, id="registry.E006")]
    hint = "Use a kernel with CONFIG_SECCOMP_FILTER: a model that broke its parser could reach the network from here."
    return [checks.Warning(f"{words}: models are parsed without that fence.", hint=hint, id="registry.W002")]


def _writable(folder: Path, setting: str, check_id: str) -> list[CheckMessage]:
    """The folder, or the nearest one above it that exists, lets this process write."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return []
    return [
        Error(
            f"{setting}: {nearest} is no folder that this process may write to.",
            hint=f"Make it writable for the server's user, or set {setting} to another path.",
            id=check_id,
        )
    ]


def _one_filesystem(chosen: FolderStore) -> list[CheckMessage]:
    """A commit is a rename, which does not cross filesystems."""
    folders = [folder for folder in (chosen.staging, chosen.artifacts) if folder.exists()]
    if len({folder.stat().st_dev for folder in folders}) <= 1:
        return []
    return [
        Error(
            f"{chosen.staging} and {chosen.artifacts} are on different filesystems, so no upload can be kept.",
            hint="Mount the filesystem on SMALLFLEET_STORE itself, not on a folder inside of it.",
            id="registry.E004",
        )
    ]


def _boto3_present() -> list[CheckMessage]:
    if importlib.util.find_spec("boto3") is not None:
        return []
    return [
        Error(
            "SMALLFLEET_STORE is an S3 address and boto3 is not installed.",
            hint="Install the extra: pip install 'smallfleet[s3]'.",
            id="registry.E005",
        )
    ]


CHECKS: tuple[Callable[..., Iterable[CheckMessage]], ...] = (check_store, check_inspection, check_trust)


def register_checks() -> None:
    """Called when the app is ready."""
    for check in CHECKS:
        register(check)
