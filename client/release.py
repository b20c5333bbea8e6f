"""Options of the commands that publish: of which version a variant is, and what devices and the server are told with it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from client.errors import ConfigError
from client.options import health_limit, tolerances
from client.publishing import Publication

REQUIRED = ("model", "version", "contract")


def add_release_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Declare them; with `required`, those that publishing cannot do without have to be given."""
    group = parser.add_argument_group("release")
    group.add_argument("--model", required=required, help="name of the model line, e.g. keyword-spotter")
    group.add_argument("--version", required=required, help="semantic version, e.g. 1.2.0")
    group.add_argument("--contract", type=Path, required=required, help="contract of the version, JSON")
    group.add_argument("--samples", type=Path, help="sample set of the version, .npz with inputs and golden outputs")
    group.add_argument(
        "--tolerance",
        type=tolerances,
        default={},
        metavar="atol=A,rtol=R,min_agreement=M",
        help="how far a device may be from the golden outputs",
    )
    group.add_argument(
        "--limit",
        type=health_limit,
        action="append",
        default=[],
        metavar="p50_latency_ms=N|peak_memory_mib=N",
        help="what a device must not exceed, or it goes back; may be given several times",
    )
    group.add_argument(
        "--device-class",
        action="append",
        default=[],
        metavar="CLASS",
        help="only these may install it (any); several times",
    )
    group.add_argument(
        "--allow-downgrade", action="store_true", help="devices that run a later version may install it too"
    )
    group.add_argument("--draft", action="store_true", help="do not sign and publish it yet: no device installs it")
    group.add_argument(
        "--accept-over-budget", action="store_true", help="publish although a limit of the model line is broken"
    )


def require_release(args: argparse.Namespace) -> None:
    """Look whether what publishing cannot do without was given.

    Raises:
        ConfigError: it was not; the message names the option.
    """
    missing = [f"--{name}" for name in REQUIRED if getattr(args, name) is None]
    if missing:
        raise ConfigError(f"--publish needs {' and '.join(missing)}")


def publication_of(
    args: argparse.Namespace,
    *,
    file: Path,
    variant: str,
    evaluations: Sequence[Mapping[str, Any]],
    base_sha256: str | None = None,
    own_tolerances: Mapping[str, float] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Publication:
    """What the options say of this file; `own_tolerances` count where the options name none, `recipe` says how it was made."""
    return Publication(
        file=file,
        model=args.model,
        version=args.version,
        variant=variant,
        contract=args.contract,
        sample_set=args.samples,
        base_sha256=base_sha256,
        tolerances=args.tolerance or own_tolerances or {},
        evaluations=evaluations,
        recipe=recipe,
        limits=dict(args.limit),
        device_classes=args.device_class,
        is_downgrade_allowed=args.allow_downgrade,
        accept_over_budget=args.accept_over_budget,
    )
