"""The `smallfleet` command: a table of sub-commands, each imported only when it is used.

A sub-command is a module with `add_arguments(parser)` and `run(args) -> int`. It reports a failure by raising an exception that
carries `exit_code`; its message goes to standard error. Anything else is a bug and keeps its traceback. The module's docstring
is its help, and `EPILOG`, if there is one, ends that.
"""

import argparse
import importlib
import os
import sys
from dataclasses import dataclass
from typing import Protocol, cast

from client.errors import EXIT_CODES, LocalFileError

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a sub-command lives, what it does in one line, and which extra of the package it needs."""

    module: str
    summary: str
    extra: str = ""


COMMANDS: dict[str, dict[str, Entry]] = {
    "Publish": {
        "publish": Entry(
            "client.commands.publish", "publish one variant of a version with its contract and evaluation"
        ),
        "trust": Entry(
            "client.commands.trust", "who may sign a model line: set up, renew, rotate and revoke keys, status"
        ),
        "yank": Entry("client.commands.yank", "withdraw a published version"),
        "budget": Entry("client.commands.budget", "limits of a model line: show, set, check a version against them"),
        "models": Entry("client.commands.models", "list model lines, show one with its versions and variants"),
        "bundle": Entry("client.commands.bundle", "write an offline bundle for `smallfleet agent install`"),
    },
    "Make small nets": {
        "zoo": Entry(
            "compression.commands.zoo", "the papers' reference nets: list, count, export to ONNX", "compression"
        ),
        "compress": Entry(
            "compression.commands.compress",
            "make smaller variants of a model by a recipe, measured and recorded",
            "compression",
        ),
        "ladder": Entry(
            "compression.commands.ladder",
            "make rungs between what devices hold and a new version: nearly as good for few bytes",
            "compression",
        ),
        "study": Entry(
            "compression.commands.study",
            "explore a design space: the front within budgets, where more stops paying",
            "compression",
        ),
    },
    "Operate": {
        "rollouts": Entry("client.commands.rollouts", "create, start, pause, resume, abort, list and show rollouts"),
        "devices": Entry(
            "client.commands.devices",
            "list devices, show one, approve or reject those that wait, rotate or revoke a credential",
        ),
        "groups": Entry("client.commands.groups", "list, create and delete groups of devices"),
        "link-classes": Entry("client.commands.link_classes", "what a byte costs a device: list, create, change"),
        "benchmarks": Entry(
            "client.commands.benchmarks", "what the devices measured, and where graphs promised otherwise"
        ),
        "costs": Entry("client.commands.costs", "accuracy against bytes and money, for today's fleet"),
        "deltas": Entry("client.commands.deltas", "which patches devices need, and having them built within a budget"),
        "enroll-token": Entry("client.commands.enroll_token", "create a token with which devices enroll"),
        "tokens": Entry("client.commands.tokens", "list, create and revoke API tokens"),
        "webhooks": Entry("client.commands.webhooks", "have an address told what happens, and see what came of it"),
        "audit": Entry("client.commands.audit", "who changed what: list, export, verify without the server"),
    },
    "On a device": {
        "agent": Entry("agent.commands", "run the agent, enroll a device, install a bundle", "agent"),
        "bench": Entry("benchmarks.commands", "measure one ONNX model on this machine", "agent"),
        "delta": Entry("delta.commands", "make, apply and look into patches between model files", "agent"),
    },
    "Serve": {
        "server": Entry("client.commands.server", "run the web server", "server"),
        "worker": Entry("client.commands.worker", "run a worker for background jobs", "server"),
        "manage": Entry("client.commands.manage", "run a Django management command (migrate, check, ...)", "server"),
        "demo": Entry("client.demo.command", "run the whole flow on this machine with three agents", "agent,server"),
        "simulate": Entry(
            "client.simulate.command", "roll out to thousands of virtual devices against a real server", "agent,server"
        ),
    },
}


class CommandModule(Protocol):
    """What a sub-command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def main(argv: list[str] | None = None) -> int:
    """Run one sub-command; the process's exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from client.about import version

        print(f"smallfleet {version()}")
        return 0
    name, *rest = arguments
    entries = {command: entry for group in COMMANDS.values() for command, entry in group.items()}
    if name not in entries:
        return _fail(f"no command {name!r}{_suggestion(name, list(entries))}; `smallfleet --help` lists them", 2)
    return _run(name, entries[name], rest)


def overview() -> str:
    """The text of `smallfleet --help`."""
    lines = ["usage: smallfleet COMMAND [options]     (`smallfleet COMMAND --help` explains one)", ""]
    lines.append("Ships neural-network updates to fleets of devices over links that cost money.")
    for group, entries in COMMANDS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:13} {entry.summary}" for name, entry in entries.items()]
    return "\n".join([*lines, "", exit_codes()])


def exit_codes() -> str:
    """The paragraph on exit codes and the environment that ends every help text."""
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    variables = (
        "environment:\n"
        "  SMALLFLEET_SERVER      address of the server, unless --server says it\n"
        "  SMALLFLEET_TOKEN       API token, unless --token-file has it; or a file with it: SMALLFLEET_TOKEN_FILE\n"
        "  SMALLFLEET_TRUST_DIR   the trust folder, unless --trust-dir says it; ./trust without both\n"
        "  SMALLFLEET_PUBLISHER_KEY   the publisher's key as PEM text, or a file with it: SMALLFLEET_PUBLISHER_KEY_FILE"
    )
    return f"exit codes:\n{codes}\n\n{variables}"


def _run(name: str, entry: Entry, arguments: list[str]) -> int:
    try:
        module = cast(CommandModule, importlib.import_module(entry.module))
        parser = argparse.ArgumentParser(
            prog=f"smallfleet {name}",
            description=(module.__doc__ or entry.summary).strip(),
            epilog=getattr(module, "EPILOG", None) or (exit_codes() if entry.module.startswith("client.") else None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(parser)
        code = module.run(parser.parse_args(arguments))
        # Here, where a reader that went away is still handled, and not at interpreter exit.
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        if not entry.extra or _is_ours(error.name):
            raise
        return _fail(f"`{name}` needs {error.name}: pip install 'smallfleet[{entry.extra}]'", 2)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing more to say, and nothing to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(str(error), LocalFileError.exit_code)
    except Exception as error:
        exit_code = getattr(error, "exit_code", None)
        if not isinstance(exit_code, int):
            raise
        return _fail(str(error), exit_code)
    return code


def _is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] in {"agent", "benchmarks", "client", "compression", "delta"}


def _suggestion(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _fail(message: str, code: int) -> int:
    print(f"smallfleet: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
