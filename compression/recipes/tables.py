"""From a table of TOML to a frozen dataclass: every key known, every value of its type and within its rule, or an error that names the place.

`compression.steps.keys` makes the rules. The place is written as a path: `step[2].bits: expected 2 to 8, got 40`; lists count from 0.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin

from compression.errors import RecipeInvalid
from compression.steps.keys import Key, key_of


class TableType(Protocol):
    """A dataclass whose fields are the keys of a table."""

    __dataclass_fields__: ClassVar[dict[str, "dataclasses.Field[Any]"]]


T = TypeVar("T", bound=TableType)
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def ready_or_file(name_or_file: str, ready: Mapping[str, Path], kind: str) -> Path:
    """The document of that name among the ready ones, or else the file; `kind` says what it is a document of.

    Raises:
        RecipeInvalid: there is neither.
    """
    path = ready.get(name_or_file, Path(name_or_file))
    if not path.is_file():
        raise RecipeInvalid(f"{name_or_file}: neither a file nor a ready {kind}{suggestion(name_or_file, ready)}")
    return path


def utf8_text(path: Path) -> str:
    """What the file says.

    Raises:
        RecipeInvalid: it is no UTF-8; the message names the place.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeInvalid(f"no UTF-8 text ({error})") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The document in `text`; `where` begins the message.

    Raises:
        RecipeInvalid: it is no TOML; the message has line and column.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeInvalid(f"{where}: {error}") from error


def read_table(kind: type[T], table: object, path: str) -> T:
    """An instance of the dataclass `kind` with the values of `table`.

    Raises:
        RecipeInvalid: an unknown or missing key, a value of another type or out of bounds.
    """
    if not isinstance(table, Mapping):
        raise RecipeInvalid(f"{path}: expected a table, got {shown(table)}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    require_known(table, fields, path)
    hints = typing.get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        where = joined(path, name)
        if name in table:
            values[name] = _value(table[name], hints[name], key_of(field), where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecipeInvalid(f"{where}: is missing")
    try:
        return kind(**values)
    except RecipeInvalid as error:
        raise RecipeInvalid(joined(path, str(error))) from error


def require_known(table: Mapping[str, Any], known: typing.Iterable[str], path: str) -> None:
    """Refuse the first key that is not known, with the one that was probably meant.

    Raises:
        RecipeInvalid: there is one.
    """
    names = list(known)
    for name in table:
        if name not in names:
            raise RecipeInvalid(f"{joined(path, name)}: unknown key{suggestion(name, names)}")


def suggestion(name: str, known: typing.Iterable[str]) -> str:
    """What was probably meant, or else what there is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(names)}"


def joined(path: str, name: str) -> str:
    """The path of a key in the table at `path`; the document itself has the path ""."""
    return f"{path}.{name}" if path else name


def type_name(hint: Any) -> str:
    """What values of a type are called in messages and documentation."""
    if get_origin(hint) in {types.UnionType, typing.Union}:
        return type_name(_without_none(hint))
    if get_origin(hint) is tuple:
        return f"a list, each {type_name(get_args(hint)[0])}"
    if get_origin(hint) in {dict, Mapping}:
        return f"a table, each {type_name(get_args(hint)[1])}"
    return _NAMES.get(hint, str(hint))


def _value(value: object, hint: Any, key: Key, where: str) -> Any:
    origin = get_origin(hint)
    if origin in {types.UnionType, typing.Union}:
        return _value(value, _without_none(hint), key, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _unexpected(type_name(hint), value, where)
        return tuple(_value(one, get_args(hint)[0], key, f"{where}[{index}]") for index, one in enumerate(value))
    if origin in {dict, Mapping} or hasattr(origin, "__getitem__"):
        if not isinstance(value, dict):
            raise _unexpected(type_name(hint), value, where)
        return {name: _value(one, get_args(hint)[1], key, joined(where, name)) for name, one in value.items()}
    return _plain(value, hint, key, where)


def _plain(value: object, hint: Any, key: Key, where: str) -> Any:
    # TOML tells whole numbers from others; a whole one is good where any number is. True is no number.
    found = float(value) if hint is float and type(value) is int else value
    if type(found) is not hint:
        raise _unexpected(type_name(hint), value, where)
    if not key.allows(found):
        near = suggestion(found, key.choices) if isinstance(found, str) else ""
        said = near if near.startswith(", did") else ""
        raise RecipeInvalid(f"{where}: expected {key.expected()}, got {shown(value)}{said}")
    return found


def _unexpected(expected: str, value: object, where: str) -> RecipeInvalid:
    return RecipeInvalid(f"{where}: expected {expected}, got {shown(value)}")


def _without_none(hint: Any) -> Any:
    (kind,) = (kind for kind in get_args(hint) if kind is not type(None))
    return kind


def shown(value: object) -> str:
    """A value as a message shows it: as TOML writes it, long ones cut."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
