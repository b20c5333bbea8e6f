"""Options of the commands that sign a list: where the trust folder is, and the publisher's key."""

import argparse
from pathlib import Path

from client.publishing import Signing
from client.rest import RestClient
from client.trust.folder import VARIABLE, LineFolder, trust_folder
from client.trust.keys import PUBLISHER_KEY, publisher_key
from client.trust.line import LineTrust


def add_signing_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--trust-dir` and `--key`."""
    group = parser.add_argument_group("signing")
    group.add_argument("--trust-dir", type=Path, metavar="DIR", help=f"the trust folder ({VARIABLE}, or ./trust)")
    group.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help=f"the publisher's key; {PUBLISHER_KEY} (PEM text) and {PUBLISHER_KEY}_FILE do too (publisher.pem in the trust folder)",
    )


def line_of(args: argparse.Namespace, rest: RestClient, model: str) -> LineTrust:
    """The model line with the trust folder that options and environment name."""
    return LineTrust(rest, LineFolder.of(trust_folder(args.trust_dir), model))


def signing_of(args: argparse.Namespace, line: LineTrust) -> Signing:
    """The line with the publisher's key that options, environment and trust folder name.

    Raises:
        Untrusted: the trust folder has no root of the line. It is looked for first: who has neither needs `trust init`, not a key.
        ConfigError, LocalFileError: there is no key, or it cannot be used.
    """
    line.folder.newest_root()
    return Signing(line, publisher_key(args.key, line.folder.publisher_key))
