"""What a step of a recipe is, and the bench it works at. No torch here, and none in a step's module before it is applied."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from compression.datasets import Samples
from compression.errors import RecipeInvalid
from compression.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class Workbench:
    """What every step of one run may use.

    Attributes:
        training: for training, calibration and every choice.
        held_out: for nothing but looking how far a long training has come; what is said of a variant is measured on them.
        seed: of everything random.
        progress: opens a display of steps done.
        teacher: a better model of the same task, an ONNX file, where one was given.
        held: the ONNX file that devices hold now, where one was given.
    """

    training: Samples
    held_out: Samples
    seed: int
    progress: Progress = no_progress
    teacher: Path | None = None
    held: Path | None = None

    def require_teacher(self) -> Path:
        """The teacher.

        Raises:
            RecipeInvalid: none was given.
        """
        if self.teacher is None:
            raise RecipeInvalid("needs a teacher: give one with --teacher FILE")
        return self.teacher

    def require_held(self) -> Path:
        """The file that devices hold.

        Raises:
            RecipeInvalid: none was given.
        """
        if self.held is None:
            raise RecipeInvalid("needs the file that devices hold: give it with --held FILE")
        return self.held


class Step(Protocol):
    """One move from an ONNX file to an ONNX file: a frozen, slotted dataclass whose fields, each with a default, are the keys of its table.

    The fields are made with `compression.steps.keys`; the first line of the class's docstring says what the step does. A value that the
    fields' rules cannot judge alone is refused by `__post_init__` with RecipeInvalid; its message begins with the key.
    """

    __dataclass_fields__: ClassVar[dict[str, "dataclasses.Field[Any]"]]

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Write `target`, one self-contained ONNX file, and give the facts worth recording, as JSON has them.

        Raises:
            CompressionError: it cannot be done; the message names file, layer or key.
        """
