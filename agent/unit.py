"""The systemd unit of the daemon on this device: the packaged one, with this device's paths in it."""

import sys
from pathlib import Path

from agent.errors import WrongConfiguration

TEMPLATE = Path(__file__).with_name("systemd") / "smallfleet-agent.service"
STATE_ROOT = Path("/var/lib")


def unit(*, config_file: Path, state_dir: Path, user: str) -> str:
    """The text of the unit.

    Raises:
        WrongConfiguration: a path cannot stand in a unit.
    """
    below = state_dir.relative_to(STATE_ROOT) if state_dir.is_relative_to(STATE_ROOT) else None
    # systemd makes what is below /var/lib, with the right owner; anything else is made by whoever chose it.
    state = f"ReadWritePaths={_quoted(state_dir)}" if below is None else f"StateDirectory={_escaped(below)}"
    values = {
        "@PYTHON@": _quoted(Path(sys.executable)),
        "@CONFIG@": _quoted(config_file.absolute()),
        "@USER@": user,
        "@STATE@": state,
    }
    text = TEMPLATE.read_text()
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _escaped(path: Path) -> str:
    text = str(path)
    if any(character in text for character in "\n\"'\\$"):
        raise WrongConfiguration("state_dir", f"{text!r} cannot stand in a systemd unit")
    return text.replace("%", "%%")


def _quoted(path: Path) -> str:
    return f'"{_escaped(path)}"' if " " in str(path) else _escaped(path)
