"""What can go wrong while a small net is made. Each class carries the process's exit code; its message names the key, layer or file.

CompressionError            1
  ExportMismatch            1   the written file does not compute what the trained net computes
  AccuracyLost              1   a variant lost more accuracy than its recipe allows
  RecipeInvalid             2   a key or value of a recipe or study that does not exist or cannot be
  DataUnusable              5   no such data, or they do not match the model
  StudyUnusable             5   a study's storage cannot be opened, or holds another study
  ModelUnusable             5   the ONNX file cannot be worked on: an operator, a weight that is not finite, a layer left empty
"""

from typing import ClassVar


class CompressionError(Exception):
    """Base of every error of this package."""

    exit_code: ClassVar[int] = 1


class ExportMismatch(CompressionError):
    """The written file and the net it was written from give different answers."""


class AccuracyLost(CompressionError):
    """A variant lost more accuracy than its recipe allows; the message names it, with both figures."""


class RecipeInvalid(CompressionError):
    """The recipe or study has a key or value that does not exist or cannot be; the message names it."""

    exit_code = 2


class DataUnusable(CompressionError):
    """There are no such data, or they do not match the model."""

    exit_code = 5


class ModelUnusable(CompressionError):
    """The model cannot be worked on; the message names the operator, tensor or layer."""

    exit_code = 5


class StudyUnusable(CompressionError):
    """A study cannot be opened, gone on with or reported on; the message says what is there instead."""

    exit_code = 5
