"""The daemon on a device: polls its server, installs models, reports.

`run` until SIGTERM, `once` for one cycle (cron, tests), `status` of what is here, `doctor` for what is wrong here, `enroll` with a one-time
token, `install` a bundle without a link.

Each command imports what it works with by itself: `run` only starts another program, and is to cost a small board little.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from agent import config as configuration
from agent.config import Config
from agent.errors import NotEnrolled, of_local_failure
from agent.layout import Layout

TOKEN_VARIABLE = "SMALLFLEET_ENROLLMENT_TOKEN"  # noqa: S105 - the name of a variable

EPILOG = """exit codes:
  0 done   1 a defect   2 wrong configuration or usage; the message names the key   3 another agent holds the state directory
  4 not enrolled, or enrolled already   5 the server refused for good   6 the server could not answer, try later
  7 an attempt failed, the old model is still active   8 the server broke the contract   9 the state directory cannot be used
  10 a rule of [policy] holds the installation of a bundle back   11 doctor: a check failed

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
    token.add_argument(
        "--token", help=f"the token; without it, the variable {TOKEN_VARIABLE}, which `ps` does not show"
    )
    token.add_argument("--token-file", type=Path, help="a file that holds the token")
    service = actions.add_parser("systemd-unit", parents=[shared], help="print the unit of a systemd service for `run`")
    service.add_argument("--user", default="smallfleet", help="whom it runs as (%(default)s); make this user first")
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
        with opened(config, layout, identity.read(layout).credential) as agent:
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
        with opened(config, layout, credential="") as agent, Bundle(args.bundle, layout) as bundle:
            return agent.install(bundle.entry(config), bundle).exit_code
    except StopRequested:
        return 0


def _enroll(args: argparse.Namespace, config: Config, layout: Layout) -> int:
    from agent import identity

    token = _token(args)
    enrolled = identity.enroll(config, layout, token, config.attributes)
    print(f"enrolled as {enrolled.device_id}")
    return 0


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
            token = args.token_file.read_text().strip()
        except OSError as error:
            raise NotEnrolled(f"the token file cannot be read: {error}") from error
    else:
        token = args.token or os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise NotEnrolled(f"enrolling needs a token: --token, --token-file or {TOKEN_VARIABLE}")
    return str(token)


def _status(args: argparse.Namespace, config: Config, layout: Layout) -> int:
    from agent import status
    from agent.clock import Clock

    found = status.status(config, layout, Clock())
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else status.described(found))
    return 0
