"""Where things are in the state directory. Paths come from configured line names and checked digests, never from the wire.

identity.json                       device id and credential (0600)
lock                                held while an agent runs
state.json                          what `agent/state.py` says
day.json                            bytes of this day, as `agent/spending.py` counts them
outbox/                             events and reports until the server has them
trust/<line>.json                   signed metadata that was verified, and what it says: `agent/trust/keeping.py`
trust/<line>.work/                  where a child checks newer metadata
downloads/<sha256>.part, <sha256>   transfers under way; whole and verified
samples/<sha256>.npz                sample sets
models/<line>/current               -> slots/<sha256>: what serving code opens
models/<line>/slots/<sha256>/       model.onnx, contract.json, manifest.json: complete, or not there
models/<line>/slots/<sha256>.new/   being built
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from agent import disk
from agent.wire import SHA256

MODEL_FILE = "model.onnx"
CONTRACT_FILE = "contract.json"
MANIFEST_FILE = "manifest.json"
CHUNK_BYTES = 1 << 18


def _checked(sha256: str) -> str:
    """The last check before a digest becomes a path."""
    if not SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256[:80]!r} is no digest")
    return sha256


@dataclass(frozen=True, slots=True)
class LinePaths:
    """The files of one model line."""

    root: Path

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def slots(self) -> Path:
        return self.root / "slots"

    def slot(self, sha256: str) -> Path:
        return self.slots / _checked(sha256)

    def building(self, sha256: str) -> Path:
        return self.slots / f"{_checked(sha256)}.new"

    def model(self, sha256: str) -> Path:
        return self.slot(sha256) / MODEL_FILE

    def read_current(self) -> str | None:
        """The digest that `current` points to; `None` when it points to no complete slot of ours."""
        if not self.current.is_symlink():
            return None
        folder, _, name = str(self.current.readlink()).partition("/")
        if folder != self.slots.name or not SHA256.fullmatch(name) or not self.model(name).is_file():
            return None
        return name

    def switch_current(self, sha256: str) -> None:
        """Point `current` to a complete slot. A power cut leaves the old link or the new one."""
        disk.replace_link(self.current, f"{self.slots.name}/{_checked(sha256)}")

    def remove_current(self) -> None:
        """Serve no model, durably. A power cut leaves the old link or none."""
        disk.remove_file(self.current)
        disk.sync_directory(self.root)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one state directory."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "identity.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def day(self) -> Path:
        return self.root / "day.json"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def trust(self) -> Path:
        return self.root / "trust"

    def metadata(self, model: str) -> Path:
        return self.trust / f"{model}.json"

    def checking(self, model: str) -> Path:
        return self.trust / f"{model}.work"

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"

    @property
    def samples(self) -> Path:
        return self.root / "samples"

    def part(self, sha256: str) -> Path:
        return self.downloads / f"{_checked(sha256)}.part"

    def downloaded(self, sha256: str) -> Path:
        return self.downloads / _checked(sha256)

    def sample_set(self, sha256: str) -> Path:
        return self.samples / f"{_checked(sha256)}.npz"

    def received_bytes(self, sha256: str) -> int:
        """How much of a transfer is on disk, whole or in part."""
        files = (self.downloaded(sha256), self.part(sha256))
        return next((file.stat().st_size for file in files if file.exists()), 0)

    def all_received_bytes(self) -> dict[str, int]:
        """The same, of everything in the downloads."""
        names = {path.name.removesuffix(".part") for path in self.downloads.iterdir()}
        return {sha256: self.received_bytes(sha256) for sha256 in names if SHA256.fullmatch(sha256)}

    def keep_sample_set(self, sha256: str) -> None:
        """Move a whole sample set from the downloads to its place."""
        disk.rename(self.downloaded(sha256), self.sample_set(sha256))

    def line(self, model: str) -> LinePaths:
        return LinePaths(self.root / "models" / model)

    def prepare(self, models: tuple[str, ...]) -> None:
        """Make the directories."""
        for folder in (self.outbox, self.downloads, self.samples, self.trust):
            disk.make_directories(folder)
        for model in models:
            disk.make_directories(self.line(model).slots)


def sha256_of(path: Path) -> str:
    """The digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
