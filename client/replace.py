"""Becoming another program: how the commands that serve start what needs Django, which this package never imports."""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from client.errors import ConfigError

_TRUE = frozenset({"1", "on", "ok", "true", "y", "yes"})  # as the server's settings read a switch


_LEAST_KEY_CHARS, _LEAST_DIFFERENT = 32, 10


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `python -m module arguments`; signals then reach that program alone.

    Raises:
        ConfigError: the module is not installed, or the server's secret key not set.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{module} is not installed: pip install 'smallfleet[server]'")
    require_secret_key(os.environ)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own interpreter, no shell


def become_django(*arguments: str) -> NoReturn:
    """Replace this process by a management command."""
    become("django", [*arguments, "--settings", "fleet.settings"])


def require_secret_key(environment: Mapping[str, str]) -> None:
    """Look for the one setting without which the server's settings cannot be loaded; they refuse a weak one once more.

    Raises:
        ConfigError: it is not set, can be guessed, or the file that should hold it cannot be read.
    """
    named = environment.get("SMALLFLEET_SECRET_KEY_FILE")
    try:
        key = Path(named).read_text() if named else environment.get("SMALLFLEET_SECRET_KEY", "")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"SMALLFLEET_SECRET_KEY_FILE: {named} cannot be read: {error}") from error
    if environment.get("SMALLFLEET_DEBUG", "").lower() in _TRUE:
        return
    if 0 < len(key.strip()) < _LEAST_KEY_CHARS or (key.strip() and len(set(key.strip())) < _LEAST_DIFFERENT):
        raise ConfigError(
            f"SMALLFLEET_SECRET_KEY needs at least {_LEAST_KEY_CHARS} characters, at least {_LEAST_DIFFERENT} different ones: "
            "choose 50 random characters and keep them"
        )
    if not key.strip():
        raise ConfigError(
            "SMALLFLEET_SECRET_KEY is not set (or SMALLFLEET_SECRET_KEY_FILE): choose 50 random characters and keep them; "
            "only SMALLFLEET_DEBUG=1 runs without"
        )
