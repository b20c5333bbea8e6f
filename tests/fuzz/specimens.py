"""The corpus that fuzzing begins with: `python -m tests.fuzz.specimens FOLDER`; bases go to `FOLDER-bases`."""

import sys
from pathlib import Path

from tests.properties.delta_specimens import specimens


def write(folder: Path) -> None:
    """A file a specimen: the number of its base (0 is none), then its patch."""
    bases = folder.with_name(f"{folder.name}-bases")
    folder.mkdir(parents=True)
    bases.mkdir()
    found = specimens()
    different = sorted({specimen.base for specimen in found if specimen.base is not None})
    for number, base in enumerate(different, 1):
        (bases / f"{number:03}").write_bytes(base)
    for specimen in found:
        number = 0 if specimen.base is None else 1 + different.index(specimen.base)
        (folder / specimen.name).write_bytes(bytes((number,)) + specimen.patch)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
