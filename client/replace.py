"""Becoming another program: how the commands that serve start what needs Django, which this package never imports."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from client.errors import ConfigError


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `python -m module arguments`; signals then reach that program alone.

    Raises:
        ConfigError: the module is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{module} is not installed: pip install 'smallfleet[server]'")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own interpreter, no shell


def become_django(*arguments: str) -> NoReturn:
    """Replace this process by a management command."""
    become("django", [*arguments, "--settings", "fleet.settings"])
