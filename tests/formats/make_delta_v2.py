"""Write the golden files of patch format version 2 into `delta_v2/`: run once, then read by every later version for ever.

Each specimen becomes `NAME.patch` with its `NAME.target` and, where it needs one, `NAME.base`; together they use all
that the version has. The script refuses to replace files that exist.
"""

from pathlib import Path

from delta.decoder import apply, read_info
from delta.versions import FORMAT_VERSION
from tests.properties.delta_specimens import specimens

FOLDER = Path(__file__).parent / "delta_v2"


def main() -> None:
    """Make the folder and all files in it."""
    FOLDER.mkdir()
    for specimen in specimens():
        patch = FOLDER / f"{specimen.name}.patch"
        base = patch.with_suffix(".base") if specimen.base is not None else None
        patch.write_bytes(specimen.patch)
        if read_info(patch).format_version != FORMAT_VERSION:
            patch.unlink()
            continue
        if base is not None and specimen.base is not None:
            base.write_bytes(specimen.base)
        apply(base, patch, patch.with_suffix(".target"))


if __name__ == "__main__":
    main()
