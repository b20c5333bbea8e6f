"""The daemon on a device: polls its server, installs models, reports.

`run` until SIGTERM, `once` for one cycle (cron, tests), `status` of what is here, `doctor` for what is wrong here, `enroll` with a one-time
token, `trust` another root than the one that came with the token, `install` a bundle without a link.

Each command imports what it works with by itself: `run` only starts another program, and is to cost a small board little.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agent import config as configuration
from agent.config import Config
from agent.errors import NotEnrolled, NotTrusted, WrongConfiguration, of_local_failure
from agent.layout import Layout

if TYPE_CHECKING:
    from agent.trust.keeping import Kept

TOKEN_VARIABLE = "SMALLFLEET_ENROLLMENT_TOKEN"  # noqa: S105 - the name of a variable

EPILOG = """exit codes:
  0 done   1 a defect   2 wrong configuration or usage; the message names the key   3 another agent holds the state directory
  4 not enrolled, or enrolled already   5 the server refused for good   6 the server could not answer, try later
  7 an attempt failed, the old model is still active   8 the server broke the contract   9 the state directory cannot be used
  10 a rule of [policy] holds the installation of a bundle back   11 doctor: a check failed
  12 a model line without a trusted root, or signed metadata that forbids it

The configuration's keys are described in docs/agent.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--config", type=Path, default=configuration.DEFAULT_PATH, help="the configuration file (default: %(default)s)"
    )
    shared.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="JSON lines on standard error",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("run", parents=[shared], help="poll and install until SIGTERM")
    actions.add_parser("once", parents=[shared], help="poll once, do what that brings, and end")
    status = actions.add_parser("status", parents=[shared], help="what is installed, under way and waiting to be sent")
    status.add_argument("--json", action="store_true", help="for programs")
    doctor = actions.add_parser("doctor", parents=[shared], help="check all that the agent needs here; changes nothing")
    doctor.add_argument("--json", action="store_true", help="for programs")
    enroll = actions.add_parser("enroll", parents=[shared], help="trade a one-time token for this device's credential")
    token = enroll.add_mutually_exclusive_group()
    # Never an argument itself: `ps` shows those to everybody on the device.
    token.add_argument(
        "--token-file",
        type=Path,
        help=f"a file that holds the token, - for standard input; without it, the variable {TOKEN_VARIABLE}",
    )
    token.add_argument(
        "--without-token",
        action="store_true",
        help="ask to be let in, where the server allows that; an operator decides",
    )
    service = actions.add_parser("systemd-unit", parents=[shared], help="print the unit of a systemd service for `run`")
    service.add_argument("--user", default="smallfleet", help="whom it runs as (%(default)s); make this user first")
    trust = actions.add_parser("trust", parents=[shared], help="trust another first root of a model line, from now on")
    trust.add_argument("line", metavar="LINE")
    trust.add_argument("digest", metavar="DIGEST", help="sha256 of a root file, in hex or as in an enrollment token")
    install = actions.add_parser("install", parents=[shared], help="install from a bundle, with no link")
    install.add_argument("bundle", type=Path, metavar="BUNDLE")
    install.add_argument(
        "--now", action="store_true", help="whatever the rules of [policy] say; you know what the device is doing"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out one sub-command; the exit code.

    Raises:
        AgentError: with its `exit_code`.
    """
    if args.action == "run":
        _become_daemon(args)
    from agent import logs

    logs.configure(args.log_level)
    if args.action == "doctor":
        return _doctor(args)
    config = configuration.load(args.config)
    layout = Layout(config.state_dir)
    commands = {
        "once": _once,
        "status": _status,
        "enroll": _enroll,
        "install": _install,
        "trust": _trust,
        "systemd-unit": _systemd_unit,
    }
    try:
        return commands[args.action](args, config, layout)
    except BrokenPipeError:
        raise  # the reader of `status` went away: no failure of the agent
    except OSError as error:
        raise of_local_failure(error, config.state_dir) from error


def _become_daemon(args: argparse.Namespace) -> NoReturn:
    """Replace this process by the daemon, which looks at the rest by itself."""
    # Without the columns of tracebacks, which nobody reads on a device: 150 KiB less.
    command = [sys.executable, "-P", "-X", "no_debug_ranges", "-m", "agent.daemon", str(args.config), args.log_level]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, no shell


def _systemd_unit(args: argparse.Namespace, config: Config, _layout: Layout) -> int:
    from agent.unit import unit

    sys.stdout.write(unit(config_file=args.config, state_dir=config.state_dir, user=args.user))
    return 0


def _once(_args: argparse.Namespace, config: Config, layout: Layout) -> int:
    from agent import identity
    from agent.daemon import StopRequested, opened

    try:
        with opened(config, layout, identity.read(layout)) as agent:
            return agent.cycle().exit_code
    except StopRequested:
        return 0


def _install(args: argparse.Namespace, config: Config, layout: Layout) -> int:
    from agent.bundle import Bundle
    from agent.daemon import StopRequested, opened
    from agent.policy import without_link_rules, without_rules

    policy = without_rules(config.policy) if args.now else without_link_rules(config.policy)
    config = replace(config, policy=policy)
    try:
        with opened(config, layout, None) as agent, Bundle(args.bundle, layout) as bundle:
            return agent.install(bundle.entry(config), bundle, bundle.news()).exit_code
    except StopRequested:
        return 0


def _enroll(args: argparse.Namespace, config: Config, layout: Layout) -> int:
    from agent import identity
    from agent.trust import learning, pins

    text = None if args.without_token else pins.split(_token(args))
    secret, pinned = ("", {}) if text is None else (text.secret, text.pins)
    learning.require_pins(config.models, {**pinned, **config.roots})
    enrolled = identity.enroll(config, layout, secret, config.attributes, pinned)
    if enrolled.approved:
        client = identity.make_client(config, credential=enrolled.credential)
        try:
            learning.establish_roots(client, layout, config.models, {**pinned, **config.roots})
        except NotTrusted:
            # Who has other roots is not the server that the token is for, and its credential is worth nothing.
            identity.forget(layout)
            raise
        finally:
            client.close()
    print(f"enrolled as {enrolled.device_id}" + ("" if enrolled.approved else "; an operator has to approve it"))
    return 0


def _trust(args: argparse.Namespace, config: Config, layout: Layout) -> int:
    from agent import identity
    from agent.outbox import Outbox
    from agent.store import Store
    from agent.trust import learning, pins

    if args.line not in config.models:
        raise WrongConfiguration("models", f"does not have {args.line!r}; this device has {', '.join(config.models)}")
    client = identity.make_client(config, credential=identity.read(layout).credential)
    with Store(layout, config.models, Outbox(layout.outbox)) as store:
        kept = learning.establish(client, layout, args.line, pins.parse(args.digest))
        client.close()
        store.commit(store.state.with_line(args.line, replace(store.state.lines[args.line], news=None)))
    print(f"{args.line}: root {kept.root_sha256} is trusted, with {_live(kept)}")
    return 0


def _live(kept: "Kept") -> str:
    if kept.says is None:
        return "no verified metadata yet"
    return f"{len(kept.says.targets)} signed targets until {kept.says.expires_at.isoformat()}"


def _doctor(args: argparse.Namespace) -> int:
    """Works with a wrong configuration too: that is what it finds."""
    from agent.doctor import examination

    findings = list(examination.examine(args.config, os.environ))
    shown = examination.as_document(findings) if args.json else None
    sys.stdout.write(examination.described(findings) if shown is None else json.dumps(shown, indent=1) + "\n")
    return 0 if examination.is_healthy(findings) else examination.EXIT_CODE


def _token(args: argparse.Namespace) -> str:
    if args.token_file is not None:
        try:
            file = args.token_file
            token = (sys.stdin.readline() if file == Path("-") else file.read_text()).strip()
        except OSError as error:
            raise NotEnrolled(f"the token file cannot be read: {error}") from error
    else:
        token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise NotEnrolled(f"enrolling needs a token: --token-file or {TOKEN_VARIABLE}")
    return str(token)


def _status(args: argparse.Namespace, config: Config, layout: Layout) -> int:
    from agent import status
    from agent.clock import Clock

    found = status.status(config, layout, Clock())
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else status.described(found))
    return 0
