"""The design space of a study: a family's metaparameters and settings of compression, each fixed, chosen from a list, or within a range. Pure."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compression.recipes.tables import read_table
from compression.steps import STEPS, Step
from compression.study.families import FAMILIES, Family

Value = bool | int | float | str
MAX_GRID = 10_000


@dataclass(frozen=True, slots=True)
class Choices:
    """One of the values of a list."""

    values: tuple[Value, ...]

    def levels(self) -> tuple[Value, ...]:
        """The values, in the order of the spec."""
        return self.values


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, both allowed.

    Attributes:
        step: between neighbouring values; None: any number (whole ones where `whole`).
        log: values are drawn evenly over their logarithms.
        whole: only whole numbers.
    """

    low: float
    high: float
    step: float | None
    log: bool
    whole: bool

    def levels(self) -> tuple[Value, ...] | None:
        """The values, rising; None where there are infinitely many."""
        step = self.step if self.step is not None else 1.0 if self.whole else None
        if step is None or self.log:
            return None
        # A grain of the step: 0.1 is no binary fraction.
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        # Rounded, so that 0.1 + 2 * 0.1 is written 0.3.
        found = [round(self.low + index * step, 12) for index in range(count)]
        return tuple(int(value) for value in found) if self.whole else tuple(found)


@dataclass(frozen=True, slots=True)
class StepTemplate:
    """A step of compression after the training: its word, what is fixed of it, and the prefix of its parameters' names."""

    do: str
    prefix: str
    fixed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Design:
    """One point of the space: a member of the family, and the steps that its trained net goes through."""

    net: Family
    steps: tuple[tuple[str, Step], ...]


@dataclass(frozen=True, slots=True)
class Space:
    """The whole space.

    Attributes:
        fixed: of the family's metaparameters, by name.
        parameters: what is searched, by name: a metaparameter's own, or `<step>.<key>`.
    """

    family: str
    fixed: Mapping[str, Value]
    steps: tuple[StepTemplate, ...]
    parameters: Mapping[str, Choices | Range]

    def grid(self) -> Iterator[dict[str, Value]] | None:
        """Every combination, the last parameter changing fastest; None where a parameter has infinitely many values."""
        levels = {name: parameter.levels() for name, parameter in self.parameters.items()}
        finite = {name: found for name, found in levels.items() if found is not None}
        if len(finite) < len(levels):
            return None
        return (dict(zip(finite, combination, strict=True)) for combination in itertools.product(*finite.values()))

    def endless(self) -> list[str]:
        """The parameters with infinitely many values."""
        return [name for name, parameter in self.parameters.items() if parameter.levels() is None]

    def grid_size(self) -> int:
        """How many combinations there are of the parameters with finitely many values."""
        return math.prod(len(parameter.levels() or ()) for parameter in self.parameters.values())

    def design(self, values: Mapping[str, Value]) -> Design:
        """The point with these values.

        Raises:
            RecipeInvalid: the values go each but not together; the message names the key.
        """
        own = {name: value for name, value in values.items() if "." not in name}
        net = read_table(FAMILIES[self.family], {**self.fixed, **own}, "space.net")
        steps = []
        for index, template in enumerate(self.steps):
            start = f"{template.prefix}."
            chosen = {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
            options = {**template.fixed, **chosen}
            if options.pop("use", True):
                steps.append((template.do, read_table(STEPS[template.do], options, f"space.step[{index}]")))
        return Design(net, tuple(steps))

    def compression_of(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Of a point's values, those of the steps."""
        return {name: value for name, value in values.items() if "." in name}


def is_numeric(levels: Sequence[Value]) -> bool:
    """Whether all values are numbers, so that there is a more and a less."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in levels)
