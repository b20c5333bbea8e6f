"""Roll a model out to thousands of virtual devices, against a real server.

Without --server one is started in a temporary folder, with the models of `smallfleet demo`. With --server the devices enroll there, and
what the rollout goes to has to be published there; they stay enrolled afterwards, so take a server that is made for trying.

Devices run the agent's own code in virtual time and speak with the server by real HTTP; their disks, links and models are made up.
The summary has what came of the fleet (the same for the same seed), what the server's books say of the same, and how quickly the server
answered. A mix is written NAME=SHARE,NAME=SHARE.
"""

import argparse
import contextlib
import logging
import math
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from agent.errors import AgentError
from client.connection import connect
from client.demo.models import LINE, MODELS, DemoModel
from client.errors import ConfigError, ServerError
from client.interrupts import ignore_interrupts, signals_interrupt
from client.output import print_json
from client.processes import free_port
from client.rest import RestClient
from client.simulate.assembly import DEVICE_CLASS, Plan, Yard, draw_up
from client.simulate.device import Holding
from client.simulate.links import LinkProfile, parse_mix, parse_shares, read_profiles
from client.simulate.reporting import report_on
from client.simulate.server import find_variant, prepare, start_rollout
from client.simulate.simulation import Simulation
from client.simulate.summary import Clockwork, Outcome, as_text, is_sound
from client.stack import Stack

NOTHING = "none"
DAY_S = 86_400.0
OWN_POLL_AFTER_S = 900
MOST_DEVICES = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--devices", type=_count, default=100, metavar="N", help="how many (%(default)s)")
    _fleet_arguments(parser.add_argument_group("fleet"))
    _run_arguments(parser.add_argument_group("run"))
    server = parser.add_argument_group("server")
    server.add_argument("--server", help="address of a server to use; without it one is started for this run")
    server.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the API token of an operator on --server; or SMALLFLEET_TOKEN, SMALLFLEET_TOKEN_FILE",
    )
    server.add_argument(
        "--allow-insecure", action="store_true", help="send the token over http:// to another machine, in clear"
    )
    server.add_argument("--model", default=LINE, help="model line (%(default)s)")
    server.add_argument(
        "--to", default="1.1.0/fp32", metavar="VERSION/VARIANT", help="what is rolled out (%(default)s)"
    )
    server.add_argument(
        "--from", dest="holding", default="1.0.0/fp32", metavar="MIX",
        help="what devices have at the start: VERSION/VARIANT, none, or a mix of them (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print exactly one JSON document on standard output")


def _fleet_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--links",
        default="wifi",
        metavar="MIX",
        help="link profiles: ethernet, wifi, lte-m, nb-iot, satellite (%(default)s)",
    )
    group.add_argument("--profiles", type=Path, metavar="FILE", help="TOML file with link profiles of one's own")
    group.add_argument(
        "--loss", type=_share, metavar="SHARE", help="of exchanges that are cut, in place of the profiles'"
    )
    group.add_argument(
        "--offline",
        type=_share,
        metavar="SHARE",
        help="of the time that a device is out of reach, in place of the profiles'",
    )
    group.add_argument(
        "--failures", type=_share, default=0.0, metavar="SHARE", help="of devices whose smoke run fails (%(default)s)"
    )
    group.add_argument(
        "--unhealthy",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="of devices whose health check fails, so that they step back (%(default)s)",
    )
    group.add_argument(
        "--bad-patches",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="of devices that can apply no patch, so that they fall back to raw (%(default)s)",
    )
    group.add_argument("--seed", type=int, default=1, help="of all chance (%(default)s)")


def _run_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--duration", type=_seconds, default=DAY_S, metavar="S", help="virtual seconds at most (%(default)g)"
    )
    group.add_argument(
        "--speed",
        type=_seconds,
        metavar="X",
        help="virtual seconds in a real one at most (as fast as the server answers)",
    )
    group.add_argument(
        "--poll-interval",
        type=_seconds,
        metavar="S",
        help="seconds between two polls of a device (what the server says; 900 on a server of its own)",
    )
    group.add_argument(
        "--keep-polling",
        action="store_true",
        help="go on for all of --duration with devices that have nothing left to do",
    )
    group.add_argument(
        "--connections",
        type=_count,
        default=8,
        metavar="N",
        help="devices that speak with the server at the same moment (%(default)s)",
    )
    group.add_argument("--no-reports", action="store_true", help="send no benchmark reports")


def run(args: argparse.Namespace) -> int:
    """Simulate; 1 when the server's books differ from what the devices did."""
    links = _links(args)
    if args.failures + args.unhealthy + args.bad_patches > 1:
        raise ConfigError(
            "--failures, --unhealthy and --bad-patches are of different devices: together they add up to more than 1"
        )
    with signals_interrupt(), _quiet_agents(), _server(args) as rest:
        outcome = _simulate(args, rest, links)
        document = outcome.document()
    if args.json:
        print_json(document)
    else:
        print(as_text(document))
    return 0 if is_sound(document) else 1


def _simulate(args: argparse.Namespace, rest: RestClient, links: Mapping[LinkProfile, float]) -> Outcome:
    target = find_variant(rest, args.model, args.to)
    plan = Plan(
        devices=args.devices,
        links=links,
        holdings=_holdings(args, rest),
        smoke_failures=args.failures,
        unhealthy=args.unhealthy,
        bad_patches=args.bad_patches,
        poll_interval_s=args.poll_interval,
        seed=args.seed,
    )
    blueprints = draw_up(plan)
    report = None if args.no_reports else report_on(target, device_class=DEVICE_CLASS)
    uses = Counter(blueprint.profile for blueprint in blueprints)
    ground = prepare(rest, args.model, uses)
    yard = Yard.open(rest.server, ground, plan, report)
    before_bytes, began = _memory_bytes(), time.monotonic()
    say(f"enrolling {plan.devices:,} devices")
    members = yard.enroll_all(blueprints, args.connections, say)
    enrolled = time.monotonic()
    started = start_rollout(ground, target, say)
    simulation = Simulation(
        members,
        target.sha256,
        until_s=args.duration,
        connections=args.connections,
        keep_polling=args.keep_polling,
        speed=args.speed,
    )
    running, cpu_s = time.monotonic(), time.process_time()
    try:
        simulation.run(lambda at_s, updated: say(f"virtual second {at_s:,.0f}: {updated:,} devices up to date"))
        ended = time.monotonic()
        simulation.deliver_rest()
    except AgentError as error:
        raise ServerError(f"the last messages were not taken: {error}") from error
    clockwork = Clockwork(
        enroll_s=enrolled - began,
        run_s=ended - running,
        cpu_s=time.process_time() - cpu_s,
        memory_bytes=_memory_bytes() - before_bytes,
    )
    return Outcome(plan, ground, started, yard.traffic, simulation, clockwork)


@contextlib.contextmanager
def _quiet_agents() -> Iterator[None]:
    """The agent's own log lines are about one device; of ten thousand, only defects are worth a line."""
    log = logging.getLogger("agent")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def say(text: str) -> None:
    """Tell what happens, beside the result: on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _server(args: argparse.Namespace) -> Iterator[RestClient]:
    """The server of --server, and only of that: an address in the environment is for commands that change nothing of this size."""
    if args.server:
        with connect(args) as rest:
            yield rest
        return
    if args.model != LINE:
        raise ConfigError(f"a server of the simulation's own has only the model line {LINE}: --model needs --server")
    models = _named(args)
    with tempfile.TemporaryDirectory(prefix="smallfleet-simulate-") as home:
        say(f"starting a server in {home}")
        # Last-seen is noise here, and ten thousand first polls would otherwise write it often.
        environment = {"SMALLFLEET_POLL_AFTER_S": str(OWN_POLL_AFTER_S), "SMALLFLEET_LAST_SEEN_FLUSH_S": "30"}
        with Stack(Path(home), port=free_port(), environment=environment) as stack:
            try:
                stack.trust(LINE)
                for model in models:
                    stack.cli("publish", *model.publish_arguments())
                with stack.rest() as rest:
                    yield rest
            finally:
                # From here on a second Ctrl-C must not keep the server from being ended.
                ignore_interrupts()


def _named(args: argparse.Namespace) -> list[DemoModel]:
    """The models of the demo that --to and --from name.

    Raises:
        ConfigError: the demo has no such model.
    """
    known = {f"{model.version}/{model.variant}": model for model in MODELS}
    names = {args.to, *parse_shares(args.holding, "--from")} - {NOTHING}
    unknown = sorted(names - set(known))
    if unknown:
        raise ConfigError(f"a server of the simulation's own has no {unknown[0]}, only {', '.join(known)}")
    return [model for name, model in known.items() if name in names]


def _links(args: argparse.Namespace) -> dict[LinkProfile, float]:
    changes = {name: value for name in ("loss", "offline") if (value := getattr(args, name)) is not None}
    mix = parse_mix(args.links, read_profiles(args.profiles))
    return {replace(profile, **changes): share for profile, share in mix.items()}


def _holdings(args: argparse.Namespace, rest: RestClient) -> dict[Holding, float]:
    return {
        Holding() if name == NOTHING else find_variant(rest, args.model, name).as_holding(): share
        for name, share in parse_shares(args.holding, "--from").items()
    }


def _memory_bytes() -> int:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _count(text: str) -> int:
    return int(_number(text, least=1, most=MOST_DEVICES, whole=True))


def _share(text: str) -> float:
    return _number(text, least=0, most=0.99)


def _seconds(text: str) -> float:
    return _number(text, least=0.1, most=1e9)


def _number(text: str, *, least: float, most: float, whole: bool = False) -> float:
    """A number within bounds.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most or (whole and number != int(number)):
        raise argparse.ArgumentTypeError(
            f"expected a {'whole ' if whole else ''}number from {least:g} to {most:g}, got {text!r}"
        )
    return number
