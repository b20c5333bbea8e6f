"""Serves Plotly.js from the installed `plotly` package, so that the repository carries no copy and no page asks another host.

The package is located, never imported: importing it would load hundreds of Python modules for one JavaScript file. The file is
4.8 MB; a gzip form of it is made once below SMALLFLEET_HOME, because WhiteNoise serves a compressed form only where it lies beside the plain one.
"""

import gzip
import importlib.util
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage, Error
from django.core.files.storage import FileSystemStorage

log = logging.getLogger(__name__)
PREFIX = "plotly"
FILE_NAME = "plotly.min.js"


def plotly_folder() -> Path | None:
    """Where the installed package keeps its JavaScript; None if it is not installed."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "package_data"
    return folder if (folder / FILE_NAME).is_file() else None


def with_gzip(source: Path, cache: Path) -> Path:
    """A folder that has `source` and its gzip form; the folder of `source` itself where the cache cannot be written.

    It is made beside its place and put there by one rename, so that processes that start together see all of it or nothing.
    """
    made_of = source.stat()
    folder = cache / f"plotly-{made_of.st_size}-{made_of.st_mtime_ns}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as building:
            shutil.copy(source, building)
            # mtime=0: the same file gives the same bytes.
            Path(building, f"{source.name}.gz").write_bytes(gzip.compress(source.read_bytes(), mtime=0))
            Path(building).rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was first
            log.warning("static_file_not_compressed", extra={"file": source.name, "error": str(error)})
            return source.parent
    return folder


class PlotlyFinder(BaseFinder):
    """Finds `plotly/plotly.min.js`, and beside it its gzip form."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        folder = plotly_folder()
        self._storage = FileSystemStorage(location=_served(folder)) if folder else None
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
            yield from ((name, self._storage) for name in (FILE_NAME, f"{FILE_NAME}.gz") if self._storage.exists(name))


def _served(folder: Path) -> Path:
    return with_gzip(folder / FILE_NAME, settings.HOME / "static-cache")
