"""Which server a command talks to and as whom: options first, then the environment."""

import argparse
import os
from pathlib import Path
from urllib.parse import urlsplit

from client.addresses import is_loopback
from client.errors import ConfigError, LocalFileError
from client.rest import RestClient


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--server`, `--token-file` and `--json`."""
    group = parser.add_argument_group("server")
    group.add_argument("--server", help="address of the server, e.g. https://models.example.org")
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the API token; or SMALLFLEET_TOKEN, SMALLFLEET_TOKEN_FILE",
    )
    group.add_argument(
        "--allow-insecure", action="store_true", help="send the token over http:// to another machine, in clear"
    )
    parser.add_argument("--json", action="store_true", help="print exactly one JSON document on standard output")


def connect(args: argparse.Namespace) -> RestClient:
    """A client for the server and token that options or environment name.

    Raises:
        ConfigError: neither names a server or a token, or the address is not http(s), or would show the token on the way.
        LocalFileError: the token's file cannot be read.
    """
    server = args.server or os.environ.get("SMALLFLEET_SERVER")
    if not server:
        raise ConfigError("no server: give --server or set SMALLFLEET_SERVER")
    parts = urlsplit(server)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"--server must be an http or https address, got {server!r}")
    if parts.scheme == "http" and not (args.allow_insecure or is_loopback(server)):
        raise ConfigError(f"{server} would send the token in clear: use https://, or --allow-insecure")
    return RestClient(server, token=_token(args.token_file))


def _token(given: Path | None) -> str:
    """The token; never an argument, for `ps` shows those to everybody on the machine."""
    if given is None and (token := os.environ.get("SMALLFLEET_TOKEN")):
        return token
    file = given or os.environ.get("SMALLFLEET_TOKEN_FILE")
    source = "--token-file" if given else "SMALLFLEET_TOKEN_FILE"
    if not file:
        raise ConfigError("no token: give --token-file or set SMALLFLEET_TOKEN or SMALLFLEET_TOKEN_FILE")
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LocalFileError(f"{source}: {error}") from error
    if not token:
        raise ConfigError(f"{source}: {file} is empty")
    return token
