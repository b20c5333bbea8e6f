"""Explore a design space: which nets are worth having within the budgets, and where more of something stops paying.

A study is a TOML file, or the name of one that comes with the package (`smallfleet study list`); docs/studies.md explains its keys.

  run      go through the space with worker processes, or go on where an earlier run stands; then write the report
  resume   the same, but only where there is something to go on with
  report   write the report of what there is by now: study.json, pictures, a table
  publish  chosen points as variants of a draft version, and the document, on the server
  list     the ready studies
  keys     every key of a spec and of the families, as Markdown

On several machines, run the same command on each with the same --storage postgresql://... and spec. Where its address holds
a password, set SMALLFLEET_STUDY_STORAGE instead: arguments are shown to everybody on a machine.
"""

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from client.connection import add_connection_arguments, connect
from client.errors import ConfigError
from client.output import print_json, print_table
from client.progress import terminal_progress as terminal_transfers
from client.publishing import publish
from client.release import add_release_arguments, publication_of
from compression.progress import terminal_progress
from compression.study.kept import STORAGE_VARIABLE
from compression.study.reference import reference
from compression.study.spec import StudySpec, load_spec, ready_specs

if TYPE_CHECKING:
    import optuna

    from compression.study.storage import Place

_MOST_WORKERS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("run", "resume", "report", "publish"):
        action = actions.add_parser(name, description=_summary(name), help=_summary(name))
        action.add_argument("spec", metavar="SPEC.toml|NAME", help="the study, or the name of a ready one")
        action.add_argument("--out", type=Path, metavar="DIR", help="folder of points and report (studies/<name>)")
        action.add_argument(
            "--storage",
            metavar="URL",
            help=f"postgresql://user@host/database, or {STORAGE_VARIABLE}; without, study.db in the folder",
        )
        if name in {"run", "resume"}:
            action.add_argument("--workers", type=_workers, default=2, metavar="N", help="processes (%(default)s)")
        if name == "publish":
            action.add_argument(
                "--point",
                type=int,
                action="append",
                default=[],
                metavar="NUMBER",
                help="which (the front's knee); repeatable",
            )
            action.add_argument(
                "--data", metavar="FILE.npz|NAME", help="samples that the study never saw, to measure on"
            )
            add_release_arguments(action, required=True)
            add_connection_arguments(action)
        else:
            action.add_argument("--json", action="store_true", help="print the document as JSON")
    listing = actions.add_parser("list", description=_summary("list"), help=_summary("list"))
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    actions.add_parser("keys", description=_summary("keys"), help=_summary("keys"))


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    if args.action in {"list", "keys"}:
        _list(args) if args.action == "list" else print("\n".join(reference()))
        return 0
    spec = load_spec(args.spec)
    out = args.out or Path("studies") / spec.name
    place = _place(args.storage, out)
    if args.action in {"run", "resume"}:
        _run(args, spec, out, place)
    elif args.action == "publish":
        return _publish(args, spec, out, place)
    document = _document(spec, place)
    _report(args, spec, out, document)
    if args.action != "report":
        from compression.study.document import require_measured

        require_measured(document)
    return 0


def _summary(action: str) -> str:
    lines = (line.split(maxsplit=1) for line in (__doc__ or "").splitlines() if line.startswith("  "))
    return dict(line for line in lines if len(line) == 2)[action].rstrip()


def _workers(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"expected 1 to {_MOST_WORKERS}, got {text!r}")
    return int(text)


def _place(given: str | None, out: Path) -> "Place":
    from compression.study.storage import local_place, place_of

    if given is not None and urlsplit(given).password:
        raise ConfigError(f"--storage has a password, which everybody on this machine can see: set {STORAGE_VARIABLE}")
    url = given or os.environ.get(STORAGE_VARIABLE)
    return place_of(url) if url else local_place(out)


def _run(args: argparse.Namespace, spec: StudySpec, out: Path, place: "Place") -> None:
    from compression.study.run import run_study

    if args.action == "resume":
        _opened(spec, place)
    run_study(args.spec, place, out, workers=args.workers, progress=terminal_progress)


def _opened(spec: StudySpec, place: "Place") -> "optuna.Study":
    """The study that is there.

    Raises:
        StudyUnusable: there is none.
    """
    from compression.errors import StudyUnusable
    from compression.study.storage import find_study, open_storage

    if (file := place.file()) is not None and not file.exists():
        raise StudyUnusable(f"{file}: there is no study here yet, run it first")
    return find_study(spec.name, open_storage(place))


def _document(spec: StudySpec, place: "Place") -> dict[str, Any]:
    from compression.study.document import document_of

    return document_of(spec, _opened(spec, place))


def _report(args: argparse.Namespace, spec: StudySpec, out: Path, document: dict[str, Any]) -> None:
    from compression.study.report import report_text, write_report

    files = write_report(spec, document, out)
    if args.json:
        print_json(document)
        return
    print(report_text(spec, document))
    print()
    for file in files:
        print(file)


def _publish(args: argparse.Namespace, spec: StudySpec, out: Path, place: "Place") -> int:
    from compression.datasets import load_samples
    from compression.study.bench import bench_of
    from compression.study.publication import choose, chosen_point, require_storable

    document = _document(spec, place)
    require_storable(document)
    samples = load_samples(args.data) if args.data else bench_of(spec).parts[0][1]
    chosen = [chosen_point(spec, document, number, out, samples) for number in choose(spec, document, args.point)]
    published = []
    with connect(args) as rest:
        for one in chosen:
            wanted = publication_of(
                args, file=one.file, variant=one.variant, evaluations=one.evaluations, recipe=one.recipe
            )
            # Never signed here: what a search has found is looked at before devices get it.
            published.append(publish(rest, wanted, None, terminal_transfers))
        rest.put_study(args.model, document)
    if args.json:
        rows = [{"point": c.number, "variant": c.variant, **asdict(p)} for c, p in zip(chosen, published, strict=True)]
        print_json({"model": args.model, "version": args.version, "study": spec.name, "points": rows})
        return 0
    for one, done in zip(chosen, published, strict=True):
        value, size = one.evaluations[0]["value"], done.size_bytes
        print(f"{done.state}: {args.model} {args.version} {one.variant} (accuracy {value:.4f}, {size:,} bytes)")
    print(f"study {spec.name} stands at {args.model}: {len(document['points'])} points")
    return 0


def _list(args: argparse.Namespace) -> None:
    specs = {name: load_spec(name) for name in ready_specs()}
    if args.json:
        print_json([{"name": name, "summary": s.summary, "points": s.point_count()} for name, s in specs.items()])
    else:
        print_table(["study", "points", "what"], [[name, s.point_count(), s.summary] for name, s in specs.items()])
