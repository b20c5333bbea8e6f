"""Who may put a model of a line on devices, and until when: keys, roots and the signed list of live variants (docs/trust.md).

`init` makes the keys of a model line once. `renew` is what CI runs on a schedule. `add-publisher`, `rotate` and `revoke` change who may
sign, and need the root key, which otherwise lies in a drawer. `status` says how it stands.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from client.connection import add_connection_arguments, connect
from client.errors import ClientError, ConfigError
from client.output import print_json
from client.rest import RestClient
from client.trust import changes
from client.trust.changes import PUBLISHERS, Begun, Kept, KeyPlaces
from client.trust.documents import SignedRoot, SignedTargets
from client.trust.folder import VARIABLE, LineFolder, known_lines, trust_folder
from client.trust.keys import read_public_key, short
from client.trust.line import LineTrust, day
from client.trust.status import look_at

WARN_DAYS = 7.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    _init_arguments(_action(actions, "init", "make the keys, the first root and an empty list of a model line", _init))
    adding = _action(actions, "add-publisher", "let one more key sign; needs the root key", _add_publisher)
    adding.add_argument("model")
    adding.add_argument("--public-key", type=Path, required=True, metavar="FILE", help="public half of the key, PEM")
    _root_key_argument(adding)
    _renew_arguments(
        _action(actions, "renew", "sign what is live once more, with a new end; CI does it weekly", _renew)
    )
    _rotate_arguments(_action(actions, "rotate", "put a new key in place of an old one; needs the root key", _rotate))
    _revoke_arguments(
        _action(actions, "revoke", "let a publisher's key sign nothing any more; needs the root key", _revoke)
    )
    status = _action(
        actions, "status", "who may sign, what is live, what ends when; ends with 1 if something ends soon", _status
    )
    status.add_argument("models", nargs="*", metavar="model", help="model lines (all of the trust folder)")
    status.add_argument(
        "--warn-days",
        type=float,
        default=WARN_DAYS,
        metavar="N",
        help="what ends in fewer days is a warning (%(default)g)",
    )


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    act: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=summary, description=summary)
    action.add_argument("--trust-dir", type=Path, metavar="DIR", help=f"the trust folder ({VARIABLE}, or ./trust)")
    add_connection_arguments(action)
    action.set_defaults(act=act)
    return action


def _root_key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root-key", type=Path, metavar="FILE", help="the root key (<trust folder>/<model>/root.pem)")


def _key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the publisher's key; SMALLFLEET_PUBLISHER_KEY (PEM text) and SMALLFLEET_PUBLISHER_KEY_FILE do too",
    )


def _passphrase_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase",
        action="store_true",
        help="ask for passphrases for the new keys; SMALLFLEET_ROOT_PASSPHRASE, SMALLFLEET_PUBLISHER_PASSPHRASE or …_FILE say them unasked",
    )


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("--create-model", action="store_true", help="create the model line if there is none")
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="of a publisher who has a key already, PEM")
    _root_key_argument(parser)
    _key_argument(parser)
    _passphrase_argument(parser)


def _renew_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="model", help="model lines (all of the trust folder)")
    parser.add_argument("--expired", action="store_true", help="also a list that has ended; look at it first")
    parser.add_argument(
        "--restored", action="store_true", help="the server came back from a backup: bring it up to date"
    )
    parser.add_argument(
        "--root", action="store_true", help="the root instead of the list; once a year, needs the root key"
    )
    _root_key_argument(parser)
    _key_argument(parser)


def _rotate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="model")
    parser.add_argument("--role", choices=("root", "publisher", "online"), required=True, help="whose key")
    parser.add_argument("--keyid", metavar="KEYID", help="which publisher's key goes, where there are several")
    _root_key_argument(parser)
    _passphrase_argument(parser)


def _revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("keyid", help="of the key, or its beginning; `smallfleet trust status` shows them")
    staying = parser.add_mutually_exclusive_group()
    staying.add_argument("--keep-all", action="store_true", help="all that is in the list was put there by you")
    staying.add_argument("--keep", action="append", metavar="VERSION/VARIANT", help="only this stays; several times")
    staying.add_argument("--keep-none", action="store_true", help="nothing stays; publish again what should be live")
    _root_key_argument(parser)
    _key_argument(parser)
    _passphrase_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


@contextmanager
def _line(args: argparse.Namespace, model: str) -> Iterator[LineTrust]:
    with connect(args) as rest:
        yield _line_of(args, rest, model)


def _line_of(args: argparse.Namespace, rest: RestClient, model: str) -> LineTrust:
    return LineTrust(rest, LineFolder.of(trust_folder(args.trust_dir), model))


def _places(args: argparse.Namespace) -> KeyPlaces:
    return KeyPlaces(root=args.root_key, publisher=getattr(args, "key", None), ask=getattr(args, "passphrase", False))


def _init(args: argparse.Namespace) -> int:
    with _line(args, args.model) as line:
        begun = changes.begin(line, _places(args), create_model=args.create_model, public_key=args.public_key)
    if args.json:
        files = [str(file) for file in begun.made]
        print_json(_root_json(args.model, begun.root) | {"made": files, "targets": _targets_json(begun.targets)})
    else:
        print("\n".join(_init_words(line, begun)))
    return 0


def _init_words(line: LineTrust, begun: Begun) -> Iterator[str]:
    root, folder = begun.root, line.folder.path
    yield f"{line.model} has trust: root {root.version}, digest {root.sha256}"
    for file in begun.made:
        if file.name == "publisher.pem":
            yield f"  {file}   goes into CI as a secret (SMALLFLEET_PUBLISHER_KEY is its text), and away from here"
        else:
            yield f"  {file}   take it offline now: two copies, apart from each other; only who signs is changed with it"
    yield f"  {folder}/*.root.json, targets.json, *.pub   are public: commit them where CI publishes from"
    yield f"the root ends on {day(root.expires_at)}: before, `smallfleet trust renew {line.model} --root` with the root key"
    if begun.targets:
        yield f"the list is empty and ends on {day(begun.targets.expires_at)}: have CI run `smallfleet trust renew` every week"
    else:
        yield f"the publisher signs the first list with `smallfleet trust renew {line.model}`, and again every week"


def _add_publisher(args: argparse.Namespace) -> int:
    public = read_public_key(args.public_key)
    with _line(args, args.model) as line:
        root = changes.add_publisher(line, _places(args), public)
    if args.json:
        print_json(_root_json(args.model, root))
    else:
        print(f"{short(public.keyid)} is a publisher of {args.model} from root {root.version} on")
        print(_after_root(line, root))
    return 0


def _renew(args: argparse.Namespace) -> int:
    models = args.models or known_lines(trust_folder(args.trust_dir))
    if not models:
        raise ConfigError(
            f"no model line in {trust_folder(args.trust_dir)}: name one, or say with --trust-dir where they are"
        )
    if args.root and (args.expired or args.restored):
        raise ConfigError("--root renews the root: --expired and --restored are about the list")
    renewed: list[dict[str, object]] = []
    failed: list[ClientError] = []
    with connect(args) as rest:
        for model in models:
            # One line that cannot be renewed must not let the others end.
            try:
                renewed.append(_renew_one(args, _line_of(args, rest, model)))
            except ClientError as error:
                failed.append(error)
                print(f"smallfleet: {model}: {error}", file=sys.stderr)
    if args.json:
        print_json(renewed)
    return failed[0].exit_code if failed else 0


def _renew_one(args: argparse.Namespace, line: LineTrust) -> dict[str, object]:
    places = _places(args)
    if args.root:
        root = changes.renew_root(line, places)
        if not args.json:
            print(f"{line.model}: root {root.version} ends on {day(root.expires_at)}")
            print(_after_root(line, root))
        return _root_json(line.model, root)
    targets = _sign_again(args, line, places.publisher_key(line))
    if not args.json:
        live = ", ".join(sorted(targets.targets)) or "nothing"
        print(f"{line.model}: list {targets.version} ends on {day(targets.expires_at)}; live: {live}")
    return {"model": line.model, "targets": _targets_json(targets)}


def _sign_again(args: argparse.Namespace, line: LineTrust, signer: CryptoSigner) -> SignedTargets:
    if args.restored:
        return changes.restore(line, signer)
    return changes.renew_targets(line, signer, is_expired_taken=args.expired)


def _rotate(args: argparse.Namespace) -> int:
    if args.keyid and args.role != "publisher":
        raise ConfigError("--keyid is about publishers: the others have one key each")
    rotated = []
    with connect(args) as rest:
        for model in args.models:
            line = _line_of(args, rest, model)
            root, words = _ROTATIONS[args.role](args, line)
            rotated.append(_root_json(model, root))
            if not args.json:
                print(f"{model}: {words}")
                print(_after_root(line, root))
    if args.json:
        print_json(rotated)
    return 0


def _rotate_root(args: argparse.Namespace, line: LineTrust) -> tuple[SignedRoot, str]:
    file = _places(args).root_file(line)
    root, old = changes.rotate_root(line, _places(args))
    return root, (
        f"the root key is {short(root.keyids('root')[0])} from root {root.version} on: take {file} offline, "
        f"and destroy the old one ({old}) with its copies"
    )


def _rotate_publisher(args: argparse.Namespace, line: LineTrust) -> tuple[SignedRoot, str]:
    root, targets, file = changes.rotate_publisher(line, _places(args), old_keyid=args.keyid)
    return root, (
        f"{short(targets.keyids[0])} signs from root {root.version} on, list {targets.version} is its first: "
        f"put {file} into CI as its secret, and destroy the old one"
    )


def _rotate_online(args: argparse.Namespace, line: LineTrust) -> tuple[SignedRoot, str]:
    root = changes.rotate_online(line, _places(args))
    return root, f"root {root.version} names the server's present online keys; devices forget what the old ones signed"


_ROTATIONS = {"root": _rotate_root, "publisher": _rotate_publisher, "online": _rotate_online}


def _revoke(args: argparse.Namespace) -> int:
    paths = () if args.keep_none else tuple(args.keep) if args.keep else None
    with _line(args, args.model) as line:
        revoked = changes.revoke(line, _places(args), args.keyid, Kept(args.keep_all, paths))
    root, targets = revoked.root, revoked.targets
    if args.json:
        made = str(revoked.new_key) if revoked.new_key else None
        print_json(_root_json(args.model, root) | {"targets": _targets_json(targets), "new_key": made})
        return 0
    print(f"{short(revoked.keyid)} signs nothing of {args.model} any more, from root {root.version} on")
    if revoked.new_key:
        print(f"it was the only publisher: {revoked.new_key} is the new key; put it into CI as its secret")
    live = ", ".join(sorted(targets.targets)) or "nothing: publish again what should be"
    print(f"list {targets.version} is signed by {short(targets.keyids[0])}; live: {live}")
    print(_after_root(line, root))
    print(
        "if the thief had the server too: let it have new online keys, then `smallfleet trust rotate "
        f"{args.model} --role online`, or devices hold on to the numbers that he reached"
    )
    return 0


def _status(args: argparse.Namespace) -> int:
    models = args.models or known_lines(trust_folder(args.trust_dir))
    if not models:
        raise ConfigError(
            f"no model line in {trust_folder(args.trust_dir)}: name one, or say with --trust-dir where they are"
        )
    with connect(args) as rest:
        found = [look_at(_line_of(args, rest, model), warn=timedelta(days=args.warn_days)) for model in models]
    if args.json:
        print_json([one.as_json() for one in found])
    else:
        print("\n".join(one.as_text() for one in found))
    return 1 if any(one.warnings for one in found) else 0


def _after_root(line: LineTrust, root: SignedRoot) -> str:
    return (
        f"commit {line.folder.path}/*.root.json, now up to {root.version}: who publishes with an older root could be shown the old keys; "
        "devices get it by themselves"
    )


def _root_json(model: str, root: SignedRoot) -> dict[str, object]:
    return {
        "model": model,
        "root": {
            "version": root.version,
            "expires_at": root.expires_at.isoformat(),
            "sha256": root.sha256,
            "publishers": root.keyids(PUBLISHERS),
        },
    }


def _targets_json(targets: SignedTargets | None) -> dict[str, object] | None:
    if targets is None:
        return None
    live: Sequence[str] = sorted(targets.targets)
    return {"version": targets.version, "expires_at": targets.expires_at.isoformat(), "live": live}
