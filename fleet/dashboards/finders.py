"""Finds Plotly's JavaScript inside the installed `plotly` package, so that no copy of it is kept here."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

STATIC_PATH = "plotly/plotly.min.js"


def plotly_js() -> Path:
    """The file in the installed package; the package itself is not imported.

    Raises:
        FileNotFoundError: `plotly` is not installed, or no longer ships the file.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package `plotly` is not installed; install the `server` extra")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    if not path.is_file():
        raise FileNotFoundError(f"the installed `plotly` has no {path}")
    return path


class PlotlyFinder(BaseFinder):
    """Serves that one file as `plotly/plotly.min.js`."""

    def check(self, **kwargs: Any) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        if path != STATIC_PATH:
            return []
        return [str(plotly_js())] if find_all else str(plotly_js())

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[tuple[str, FileSystemStorage]]:
        storage = FileSystemStorage(location=plotly_js().parent)
        storage.prefix = "plotly"  # type: ignore[attr-defined]
        yield "plotly.min.js", storage
