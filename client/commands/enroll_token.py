"""Create an enrollment token: with it, devices enroll until its uses or its time end. It is shown this once.

The text has pins behind the secret: by model line the digest of a root file, without which a device installs nothing of that line. Pins come
from the trust folder; where that has no root of a line, from the server, and the command says so: then whoever holds the server chose them.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from agent.trust import pins
from client.connection import add_connection_arguments, connect
from client.errors import ConfigError, LocalFileError
from client.options import attribute, end_in_hours
from client.output import print_json
from client.rest import Json
from client.trust.folder import VARIABLE, LineFolder, known_lines, trust_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--name", required=True, help="what it is for, e.g. 'berlin gates'")
    parser.add_argument(
        "--uses", type=int, help="how many devices may enroll with it (1, or as many as there are serials)"
    )
    parser.add_argument(
        "--expires-in-h", type=end_in_hours, default="24", metavar="H", help="hours until it ends (%(default)s)"
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="LINE",
        help="model line that its devices may have (any); several times",
    )
    parser.add_argument("--trust-dir", type=Path, metavar="DIR", help=f"the trust folder ({VARIABLE}, or ./trust)")
    parser.add_argument("--group", help="group whose attributes the devices get")
    parser.add_argument("--link-class", help="link class that the devices get")
    parser.add_argument(
        "--attribute", type=attribute, action="append", default=[], metavar="KEY=VALUE", help="set on every device"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--serials", type=Path, metavar="FILE", help="only these devices, each once: a serial on each line"
    )
    mode.add_argument("--approval", action="store_true", help="a device waits until an operator says yes to it")
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Create the token and print it with its pins."""
    with connect(args) as rest:
        created = rest.post("enrollment-tokens", _wish(args))
    lines = args.model or sorted({*created["roots"], *known_lines(trust_folder(args.trust_dir))})
    local = _local_pins(trust_folder(args.trust_dir), lines)
    told = {line: sha256 for line, sha256 in created["roots"].items() if line not in local and line in lines}
    text = pins.compose(created["token"], local | told)
    for line in sorted(told):
        _say(f"the pin of {line} is the server's word: there is no root of it in {trust_folder(args.trust_dir)}")
    for line in sorted(set(lines) - set(local) - set(told)):
        _say(
            f"{line} has no trust yet, so no pin: devices of this token cannot have it (`smallfleet trust init {line}`)"
        )
    if args.json:
        print_json(created | {"token": text, "pins": local | told, "pins_from_server": sorted(told)})
    else:
        # Alone on the line, so that a shell may take it as a value.
        print(text)
    return 0


def _wish(args: argparse.Namespace) -> Json:
    wish: Json = {
        "name": args.name,
        "expires_at": args.expires_in_h.isoformat(),
        "attributes": dict(args.attribute),
        "models": args.model,
    }
    if args.serials:
        wish |= {"mode": "serials", "serials": _serials(args.serials)}
    if args.approval:
        wish["mode"] = "approval"
    optional = {"uses": args.uses, "group": args.group, "link_class": args.link_class}
    return wish | {name: value for name, value in optional.items() if value is not None}


def _serials(file: Path) -> list[str]:
    """The serials of a file, one on each line.

    Raises:
        LocalFileError: it cannot be read.
        ConfigError: there is none in it.
    """
    try:
        rows = [row.strip() for row in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFileError(f"{file}: {error}") from error
    serials = [row for row in rows if row]
    if not serials:
        raise ConfigError(f"{file} has no serial in it: write one on each line")
    return serials


def _local_pins(folder: Path, lines: Iterable[str]) -> dict[str, str]:
    """By line the digest of the newest root that the trust folder has."""
    roots = {line: LineFolder.of(folder, line).roots() for line in lines}
    return {line: chain[-1].sha256 for line, chain in roots.items() if chain}


def _say(text: str) -> None:
    print(text, file=sys.stderr)
