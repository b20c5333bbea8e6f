"""What a study is: a TOML document `smallfleet-study/1`, read into frozen objects. Reading one needs neither torch nor Optuna.

Its tables are MESCAL's four steps (M. Gries and K. Keutzer, "Building ASIPs: The Mescal Methodology", 2005; for neural nets F.
Iandola and K. Keutzer, "Small Neural Nets Are Beautiful", arXiv:1710.02759): `[benchmark]`, `[[objective]]` and `[[budget]]` come before any
design; `[space]` says what is allowed, inclusively; `[training]`, `[search]` and `[early_stop]` say how it is gone through.
"""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from compression.datasets import NAMED, SPLIT_SEED
from compression.errors import RecipeInvalid
from compression.recipes.tables import (
    joined,
    parse_toml,
    read_table,
    ready_or_file,
    require_known,
    shown,
    suggestion,
    utf8_text,
)
from compression.steps import STEPS
from compression.steps.keys import choice, flag, number, text, whole
from compression.study.families import FAMILIES
from compression.study.front import Budget, Goal, Objective
from compression.study.space import MAX_GRID, Choices, Range, Space, StepTemplate, Value

SCHEMA = "smallfleet-study/1"
FOLDER = Path(__file__).parent / "specs"
GOALS: dict[str, Goal] = {
    "accuracy": "max",
    "param_count": "min",
    "size_bytes": "min",
    "packed_bytes": "min",
    "delta_bytes": "min",
    "macs": "min",
    "peak_activation_bytes": "min",
    "latency_p50_ns": "min",
    "energy_j": "min",
    "training_s": "min",
}
_METRICS = tuple(GOALS)
_NAME_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True, slots=True)
class Head:
    """The keys of a spec beside its tables."""

    schema: str = text("", f'always "{SCHEMA}"')
    name: str = text("", "of the study: small letters, digits and dashes, no dash at either end, at most 64")
    summary: str = text("", "one line for people")
    seed: int = whole(2017, 0, 2**31 - 1, "of everything random: first weights, order, search")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What every point is measured on."""

    data: str = text("", f"a named set ({', '.join(NAMED)}) or an npz file beside the spec")
    held_out: float = number(
        0.3, 0.01, 0.9, "share of the samples that accuracy is measured on; unless there are folds"
    )
    folds: int = whole(0, 0, 20, "measure on every sample by so many nets, each trained without its fold; 0: none")
    repeats: int = whole(1, 1, 100, "nets of each point, from seeds that follow each other")
    split_seed: int = whole(SPLIT_SEED, 0, 2**31 - 1, "which samples are held out, or in which fold")
    base: str = text("", "an ONNX file that devices hold, beside the spec, for delta_bytes; none if left out")
    latency: str = choice("smoke", ("none", "smoke", "rapid", "quick"), "the ruler's tier; none: not measured")
    latency_tries: int = whole(2, 1, 10, "how often the ruler measures until its report may be believed")

    def __post_init__(self) -> None:
        if not self.data:
            raise RecipeInvalid("data: is missing")
        if self.folds == 1:
            raise RecipeInvalid("folds: expected 0, or 2 to 20, got 1")


@dataclass(frozen=True, slots=True)
class Training:
    """How every net is trained: AdamW on one cycle of the learning rate (`compression.training`)."""

    epochs: int = whole(12, 1, 10_000, "passes over the training samples")
    peak_learning_rate: float = number(4e-3, 1e-7, 10, "reached after a tenth of the steps, then falling to zero")
    shift_pixels: float = number(0.5, 0, 100, "images are moved and turned by up to this many pixels")
    batch: int = whole(64, 1, 65_536, "images of a step")
    weight_decay: float = number(1e-2, 0, 10, "of AdamW")


@dataclass(frozen=True, slots=True)
class Search:
    """How points are chosen."""

    sampler: str = choice(
        "tpe", ("grid", "tpe", "nsga2", "random"), "grid takes every combination once; the others are Optuna's"
    )
    points: int | None = whole(None, 1, MAX_GRID, "how many points; not with a grid")


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When a point is hopeless (`compression.study.early`); without this table none is."""

    after: int = whole(3, 1, 10_000, "epochs before a point may be given up")
    margin: float = number(0.05, 0.0, 1.0, "how much less accurate than a point that costs no more, at equal epochs")


@dataclass(frozen=True, slots=True)
class ObjectiveKeys:
    """A metric that counts, and its direction."""

    metric: str = choice("", _METRICS, "which metric")
    goal: str = choice("", ("max", "min"), "its direction, which is accuracy max, everything else min")


@dataclass(frozen=True, slots=True)
class BudgetKeys:
    """A hard limit, itself allowed."""

    metric: str = choice("", _METRICS, "which metric")
    at_most: float | None = number(None, 0, None, "most that is allowed, in the metric's unit")
    at_least: float | None = number(None, 0, None, "least that is allowed")


@dataclass(frozen=True, slots=True)
class SpaceHead:
    """The space's own keys beside its tables `net` and `step`."""

    family: str = choice("", tuple(FAMILIES), "which architectures; their metaparameters stand in [space.net]")


@dataclass(frozen=True, slots=True)
class StepHead:
    """The keys of a `[[space.step]]` beside the step's own."""

    do: str = text("", "which step of compression, as in a recipe")
    use: bool = flag("whether the step is taken; [true, false] makes that a parameter", default=True)


@dataclass(frozen=True, slots=True)
class RangeKeys:
    """A parameter's range, written in place of its value."""

    low: float = number(None, None, None, "least value, allowed")
    high: float = number(None, None, None, "most, allowed")
    step: float | None = number(None, 1e-12, None, "between neighbouring values; none: any value")
    log: bool = flag("drawn evenly over logarithms; not with a step", default=False)


TABLES: dict[str, type[Any]] = {
    "": Head,
    "benchmark": Benchmark,
    "[objective]": ObjectiveKeys,
    "[budget]": BudgetKeys,
    "space": SpaceHead,
    "[space.step]": StepHead,
    "a range": RangeKeys,
    "training": Training,
    "search": Search,
    "early_stop": EarlyStop,
}
"""Every table with keys of its own, by how it is written; lists of tables in brackets. The documentation is held to it."""


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A whole study.

    Attributes:
        document: the TOML text it was read from.
        folder: where relative files are.
    """

    name: str
    summary: str
    seed: int
    benchmark: Benchmark
    objectives: tuple[Objective, ...]
    budgets: tuple[Budget, ...]
    space: Space
    training: Training
    search: Search
    early_stop: EarlyStop | None
    document: str
    folder: Path

    def point_count(self) -> int:
        """How many points there will be."""
        return self.space.grid_size() if self.search.sampler == "grid" else self.search.points or 0

    def data(self) -> str:
        """The benchmark's data as `compression.datasets.load_samples` takes it."""
        return self.benchmark.data if self.benchmark.data in NAMED else str(self.folder / self.benchmark.data)

    def base(self) -> Path | None:
        """The file that devices hold, if the spec names one."""
        return self.folder / self.benchmark.base if self.benchmark.base else None

    def fingerprint(self) -> str:
        """Digest of what decides a point's figures. Name, budgets and the number of points may change while a study grows."""
        said = dataclasses.asdict(self)
        for free in ("name", "summary", "budgets", "document", "folder"):
            del said[free]
        del said["search"]["points"]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def ready_specs() -> dict[str, Path]:
    """The specs that come with the package, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def load_spec(name_or_file: str) -> StudySpec:
    """A spec of the package by name, or one in a file.

    Raises:
        RecipeInvalid: there is none, or it cannot be used; the message names file and key.
    """
    path = ready_or_file(name_or_file, ready_specs(), "study")
    try:
        return parse_spec(utf8_text(path), folder=path.absolute().parent)
    except RecipeInvalid as error:
        raise RecipeInvalid(f"{path.name}: {error}") from error


def parse_spec(document: str, *, folder: Path) -> StudySpec:
    """The study in a TOML text; `folder` is where the files that it names are.

    Raises:
        RecipeInvalid: a key or value that does not exist or cannot be; the message names it with its path.
    """
    tables = parse_toml(document, "no TOML")
    if tables.get("schema") != SCHEMA:
        raise RecipeInvalid(f'schema: expected "{SCHEMA}", got {shown(tables.get("schema", "none"))}')
    heads = [field.name for field in dataclasses.fields(Head)]
    known = [*heads, "benchmark", "objective", "budget", "space", "training", "search", "early_stop"]
    require_known(tables, known, "")
    head = read_table(Head, {name: tables[name] for name in heads if name in tables}, "")
    if not (0 < len(head.name) <= 64 and set(head.name) <= _NAME_SIGNS and "-" not in head.name[0] + head.name[-1]):
        raise RecipeInvalid(
            f"name: expected small letters, digits and dashes, no dash at either end, at most 64, got {shown(head.name)}"
        )
    for name in ("benchmark", "space"):
        if name not in tables:
            raise RecipeInvalid(f"{name}: is missing")
    spec = StudySpec(
        name=head.name,
        summary=head.summary,
        seed=head.seed,
        benchmark=read_table(Benchmark, tables["benchmark"], "benchmark"),
        objectives=_objectives(_tables(tables, "objective")),
        budgets=_budgets(_tables(tables, "budget")),
        space=_space(tables["space"]),
        training=read_table(Training, tables.get("training", {}), "training"),
        search=read_table(Search, tables.get("search", {}), "search"),
        early_stop=read_table(EarlyStop, tables["early_stop"], "early_stop") if "early_stop" in tables else None,
        document=document,
        folder=folder,
    )
    _require_sense(spec)
    return spec


def _require_sense(spec: StudySpec) -> None:
    """What no table can say alone."""
    asked = [("objective", o.metric) for o in spec.objectives] + [("budget", b.metric) for b in spec.budgets]
    for place, metric in asked:
        if metric == "delta_bytes" and not spec.benchmark.base:
            raise RecipeInvalid(f"{place}: delta_bytes needs benchmark.base, the file that devices hold")
        if metric in {"latency_p50_ns", "energy_j"} and spec.benchmark.latency == "none":
            raise RecipeInvalid(f'{place}: {metric} is not measured with benchmark.latency = "none"')
    if spec.search.sampler != "grid":
        if spec.search.points is None:
            raise RecipeInvalid(f"search.points: is missing, {spec.search.sampler} does not end by itself")
        return
    if spec.search.points is not None:
        raise RecipeInvalid("search.points: a grid has as many points as there are combinations, leave it out")
    if endless := spec.space.endless():
        raise RecipeInvalid(
            f"{_place(endless[0])}: a grid needs a list of values, or a range with a step and without log"
        )
    if spec.space.grid_size() > MAX_GRID:
        raise RecipeInvalid(f"space: {spec.space.grid_size():,} combinations, a grid may have {MAX_GRID:,}")


def _place(parameter: str) -> str:
    return f"space.step {parameter}" if "." in parameter else f"space.net.{parameter}"


def _tables(tables: Mapping[str, Any], name: str) -> Sequence[object]:
    found = tables.get(name, [])
    if not isinstance(found, list):
        raise RecipeInvalid(f"{name}: expected tables [[{name}]], got {shown(found)}")
    return found


def _objectives(tables: Sequence[object]) -> tuple[Objective, ...]:
    if not tables:
        raise RecipeInvalid("objective: expected at least one table [[objective]], got none")
    found: list[Objective] = []
    for index, table in enumerate(tables):
        path = f"objective[{index}]"
        keys = read_table(ObjectiveKeys, table, path)
        if not keys.metric:
            raise RecipeInvalid(f"{path}.metric: is missing")
        if keys.goal and keys.goal != GOALS[keys.metric]:
            raise RecipeInvalid(f'{path}.goal: {keys.metric} is better at its "{GOALS[keys.metric]}"')
        if keys.metric in [objective.metric for objective in found]:
            raise RecipeInvalid(f"{path}.metric: {keys.metric} is an objective already")
        found.append(Objective(keys.metric, GOALS[keys.metric]))
    return tuple(found)


def _budgets(tables: Sequence[object]) -> tuple[Budget, ...]:
    found = []
    for index, table in enumerate(tables):
        path = f"budget[{index}]"
        keys = read_table(BudgetKeys, table, path)
        if not keys.metric:
            raise RecipeInvalid(f"{path}.metric: is missing")
        if (keys.at_most is None) == (keys.at_least is None):
            raise RecipeInvalid(f"{path}: expected one of at_most and at_least")
        found.append(Budget(keys.metric, keys.at_most, keys.at_least))
    return tuple(found)


def _space(table: object) -> Space:
    if not isinstance(table, dict):
        raise RecipeInvalid(f"space: expected a table, got {shown(table)}")
    require_known(table, ["family", "net", "step"], "space")
    family = read_table(SpaceHead, {key: table[key] for key in ("family",) if key in table}, "space").family
    if not family:
        raise RecipeInvalid("space.family: is missing")
    fixed, searched = _fixed_and_searched(table.get("net", {}), FAMILIES[family], "space.net")
    parameters = dict(searched)
    steps: list[StepTemplate] = []
    for index, step in enumerate(_tables(table, "step")):
        path = f"space.step[{index}]"
        if not isinstance(step, dict):
            raise RecipeInvalid(f"{path}: expected a table, got {shown(step)}")
        do = read_table(StepHead, {key: step[key] for key in ("do",) if key in step}, path).do
        if do not in STEPS:
            raise RecipeInvalid(
                f"{path}.do: {'is missing' if not do else f'no step {shown(do)}{suggestion(do, STEPS)}'}"
            )
        before = sum(other.do == do for other in steps)
        prefix = f"{do}-{before + 1}" if before else do
        require_known(step, [*(field.name for field in dataclasses.fields(STEPS[do])), "do", "use"], path)
        own = {key: value for key, value in step.items() if key not in {"do", "use"}}
        options, searched = _fixed_and_searched(own, STEPS[do], path)
        use, use_searched = _fixed_and_searched({"use": step.get("use", True)}, StepHead, path)
        steps.append(StepTemplate(do, prefix, options | use))
        parameters |= {f"{prefix}.{key}": parameter for key, parameter in (searched | use_searched).items()}
    if not parameters:
        raise RecipeInvalid("space: nothing varies; give a metaparameter a list of values or a range")
    return Space(family, fixed, tuple(steps), parameters)


def _fixed_and_searched(table: object, kind: type[Any], path: str) -> tuple[dict[str, Any], dict[str, Choices | Range]]:
    """The keys of a table with one value, and those with several, every value judged by the dataclass that it is for."""
    if not isinstance(table, dict):
        raise RecipeInvalid(f"{path}: expected a table, got {shown(table)}")
    require_known(table, [field.name for field in dataclasses.fields(kind)], path)
    hints = typing.get_type_hints(kind)
    fixed: dict[str, Any] = {}
    searched: dict[str, Choices | Range] = {}
    for key, value in table.items():
        hint = _without_none(hints[key])
        # A key that holds a list or a table anyway has one value only.
        if isinstance(value, list) and get_origin(hint) is None:
            searched[key] = _choices(value, kind, key, joined(path, key))
        elif isinstance(value, dict) and get_origin(hint) is None:
            searched[key] = _range(value, kind, key, hint, joined(path, key))
        else:
            fixed[key] = value
    for key, parameter in searched.items():
        for value in parameter.values if isinstance(parameter, Choices) else (parameter.low, parameter.high):
            number_of = int(value) if isinstance(parameter, Range) and parameter.whole else value
            _checked(kind, fixed | {key: number_of}, path)
    if not searched:
        _checked(kind, fixed, path)
    return fixed, searched


def _checked(kind: type[Any], values: Mapping[str, Any], path: str) -> None:
    read_table(kind, values, path)


def _choices(values: list[Any], kind: type[Any], key: str, path: str) -> Choices:
    if len(values) < 2:
        raise RecipeInvalid(f"{path}: a list has at least two values, got {shown(values)}")
    for index, value in enumerate(values):
        if not isinstance(value, bool | int | float | str):
            raise RecipeInvalid(f"{path}[{index}]: expected one value, got {shown(value)}")
        if value in values[:index]:
            raise RecipeInvalid(f"{path}[{index}]: {shown(value)} is there already")
    return Choices(tuple(values))


def _range(table: dict[str, Any], kind: type[Any], key: str, hint: Any, path: str) -> Range:
    if hint not in {int, float}:
        raise RecipeInvalid(f"{path}: a range is for numbers, give a list of values")
    keys = read_table(RangeKeys, table, path)
    for end in ("low", "high"):
        if end not in table:
            raise RecipeInvalid(f"{path}.{end}: is missing")
    is_whole = hint is int
    for name in ("low", "high", "step"):
        value = getattr(keys, name)
        if is_whole and value is not None and not float(value).is_integer():
            raise RecipeInvalid(f"{path}.{name}: expected a whole number, got {shown(value)}")
    if not keys.low < keys.high:
        raise RecipeInvalid(f"{path}: low must be below high, got {keys.low:g} and {keys.high:g}")
    if keys.log and keys.step is not None:
        raise RecipeInvalid(f"{path}.log: not with a step")
    if keys.log and keys.low <= 0:
        raise RecipeInvalid(f"{path}.low: expected more than 0 with log, got {keys.low:g}")
    return Range(keys.low, keys.high, keys.step, keys.log, is_whole)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in {UnionType, typing.Union}:
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    return hint


def values_as_text(values: Mapping[str, Value]) -> str:
    """A point's values in one line."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
