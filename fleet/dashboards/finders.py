"""Serves Plotly.js from the installed `plotly` package, so that the repository carries no copy and no page asks another host.

The package is located, never imported: importing it would load hundreds of Python modules for one JavaScript file.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage, Error
from django.core.files.storage import FileSystemStorage

PREFIX = "plotly"
FILE_NAME = "plotly.min.js"


def plotly_folder() -> Path | None:
    """Where the installed package keeps its JavaScript; None if it is not installed."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "package_data"
    return folder if (folder / FILE_NAME).is_file() else None


class PlotlyFinder(BaseFinder):
    """Finds exactly one file, `plotly/plotly.min.js`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        folder = plotly_folder()
        self._storage = FileSystemStorage(location=folder) if folder else None
        if self._storage is not None:
            # Read by collectstatic and WhiteNoise: the folder under STATIC_URL.
            self._storage.prefix = PREFIX  # type: ignore[attr-defined]

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        if self._storage is not None:
            return []
        hint = "install the `server` extra: pip install smallfleet[server]"
        return [Error(f"the plotly package with {FILE_NAME} is not installed", hint=hint, id="dashboards.E001")]

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        if self._storage is None or path != f"{PREFIX}/{FILE_NAME}":
            return []
        found = self._storage.path(FILE_NAME)
        return [found] if find_all else found

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        if self._storage is not None:
            yield FILE_NAME, self._storage
