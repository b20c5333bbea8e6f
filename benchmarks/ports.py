"""What a model declares about one input or output."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Port:
    """One declared input or output. A dimension is None where the model leaves it open, `dims` where the rank is."""

    name: str
    dtype: str
    dims: tuple[int | None, ...] | None
