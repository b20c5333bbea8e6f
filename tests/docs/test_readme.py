"""What the README tells to type is there to be typed."""

import re
import shlex
from pathlib import Path

from django.core.management import get_commands, load_command_class

from client.cli import COMMANDS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
TYPED = re.compile(r"^(smallfleet (?:.*\\\n)*.*)|`(smallfleet [^`]+)`", re.MULTILINE)


def typed_commands() -> list[list[str]]:
    """Every `smallfleet ...` of the page, in words, without comments."""
    lines = (block or inline for block, inline in TYPED.findall(README))
    return [shlex.split(line.replace("\\\n", " "), comments=True)[1:] for line in lines]


def test_every_command_exists() -> None:
    known = {name for group in COMMANDS.values() for name in group}
    typed = {command[0] for command in typed_commands()}
    assert {"publish", "server", "worker", "manage", "tokens", "agent"} <= typed <= known


def test_management_commands_exist_and_read_the_options() -> None:
    managed = [command[1:] for command in typed_commands() if command[0] == "manage"]
    assert ["migrate"] in managed
    for name, *options in managed:
        load_command_class(get_commands()[name], name).create_parser("smallfleet manage", name).parse_args(options)


def test_page_tells_how_to_get_the_token_that_it_publishes_with() -> None:
    """The first token comes with the first admin; with it, one that may look what is there and publish."""
    commands = [" ".join(command) for command in typed_commands()]
    assert any(command.startswith("manage bootstrap_admin") and "--token-name" in command for command in commands)
    (create,) = [command for command in commands if command.startswith("tokens create")]
    assert "--scope read" in create
    assert "--scope publish" in create
