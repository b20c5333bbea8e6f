"""The trust folder: `<folder>/<model line>/` with the line's keys and what is known of its metadata.

`N.root.json` and `targets.json` are public and belong into version control, so that CI has a root to start from and cannot be shown an older
one; keys do not, and a `.gitignore` in the folder says so. What lies here is believed: whoever may write to it may choose the root.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from client.errors import ConfigError, LocalFileError, Untrusted
from client.trust.documents import SignedRoot, SignedTargets, follow, read_root, read_targets

VARIABLE = "SMALLFLEET_TRUST_DIR"
DEFAULT = Path("trust")
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")  # as the registry has it
ROOT_NAME = re.compile(r"(\d+)\.root\.json")
IGNORED = "# Keys stay out of version control; the public *.root.json, targets.json and *.pub belong into it.\n*.pem\n"


def trust_folder(given: Path | None) -> Path:
    """The folder of an option, of the environment, or `trust` here."""
    return given or Path(os.environ.get(VARIABLE) or DEFAULT)


@dataclass(frozen=True, slots=True)
class LineFolder:
    """One model line's part of the folder."""

    path: Path
    model: str

    @classmethod
    def of(cls, base: Path, model: str) -> "LineFolder":
        """The folder of a line.

        Raises:
            ConfigError: this cannot be the name of a model line.
        """
        if not NAME.fullmatch(model):
            raise ConfigError(f"{model!r} is no name of a model line: 1 to 64 of a-z, 0-9, '.', '_', '-'")
        return cls(base / model, model)

    @property
    def root_key(self) -> Path:
        return self.path / "root.pem"

    @property
    def publisher_key(self) -> Path:
        return self.path / "publisher.pem"

    def make(self) -> None:
        """Make the folder, and have version control leave keys alone."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            ignore = self.path.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text(IGNORED)
        except OSError as error:
            raise LocalFileError(f"{self.path}: {error.strerror}") from error

    def roots(self) -> list[SignedRoot]:
        """The roots that lie here, checked as a chain from the oldest on; none if there are none.

        Raises:
            Untrusted: they are no chain.
        """
        numbers = sorted(int(found[1]) for file in self._files() if (found := ROOT_NAME.fullmatch(file.name)))
        if not numbers:
            return []
        contents = [self._read(self._root_file(number)) for number in numbers]
        first = read_root(contents[0], self.model)
        return [first, *follow(first, contents[1:], self.model)]

    def newest_root(self) -> SignedRoot:
        """The root that everything is checked against.

        Raises:
            Untrusted: there is none.
        """
        roots = self.roots()
        if not roots:
            raise Untrusted(
                f"no trusted root of {self.model} in {self.path}: bring the public *.root.json files there that "
                f"`smallfleet trust init {self.model}` made (or say with --trust-dir where they are); if the line has no trust yet, run that"
            )
        return roots[-1]

    def keep_root(self, root: SignedRoot) -> None:
        """Add a root; one that is there must be the same.

        Raises:
            LocalFileError: another root has this number.
        """
        file = self._root_file(root.version)
        if file.exists():
            if file.read_bytes() != root.content:
                raise LocalFileError(f"{file} is another root {root.version} than the server's")
            return
        _write(file, root.content)

    def last_targets(self) -> SignedTargets | None:
        """The newest list that this folder has seen; None if it has seen none."""
        file = self.path / "targets.json"
        return read_targets(self._read(file), self.model, self.roots()) if file.exists() else None

    def keep_targets(self, targets: SignedTargets) -> None:
        """Remember a list, unless a newer one is remembered."""
        known = self.last_targets()
        if known is None or known.version < targets.version:
            _write(self.path / "targets.json", targets.content)

    def replace_targets(self, targets: SignedTargets) -> None:
        """Remember a list in place of whatever is remembered: after a thief's lists were thrown out."""
        _write(self.path / "targets.json", targets.content)

    def _root_file(self, version: int) -> Path:
        return self.path / f"{version}.root.json"

    def _files(self) -> list[Path]:
        return list(self.path.iterdir()) if self.path.is_dir() else []

    def _read(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as error:
            raise LocalFileError(f"{file}: {error.strerror}") from error


def known_lines(base: Path) -> list[str]:
    """The model lines that have a root in the folder."""
    if not base.is_dir():
        return []
    return sorted(one.name for one in base.iterdir() if any(one.glob("*.root.json")))


def _write(file: Path, content: bytes) -> None:
    """Replace a public file in one step, so that two commands at once leave one of the two, whole."""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-", delete=False) as out:
            out.write(content)
        partial = Path(out.name)
        partial.chmod(0o644)
        partial.replace(file)
    except OSError as error:
        raise LocalFileError(f"{file}: {error.strerror}") from error
