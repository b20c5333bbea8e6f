"""Offline bundles: the entry of a poll answer, the signed metadata and the artifacts, in one uncompressed tar for a device without a link.

The bytes depend on the content alone: members have no time and no owner. The agent checks signatures and digests; nothing here is trusted.
"""

import io
import json
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from client.errors import ConfigError
from client.progress import Progress, no_progress
from client.rest import Json, RestClient
from client.trust.documents import expiry_of, live_digests
from client.trust.line import ask_news

SCHEMA = "smallfleet-bundle/1"
# What this version's agents read; a bundle is made for one that is not asked.
PATCH_FORMAT = 1
TOLERANCES = ("atol", "rtol", "min_agreement")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle is to bring.

    Attributes:
        base: sha256 of what the devices hold; a delta from it goes in.
        only_delta: leave out the way that works from nothing; the bundle is small and serves devices with `base` alone.
    """

    model: str
    version: str
    variant: str
    base: str | None = None
    only_delta: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle that was written: its installation entry, and until when devices take it."""

    entry: Json
    until: datetime


def make_bundle(rest: RestClient, wanted: Bundle, out: Path, progress: Progress = no_progress) -> Written:
    """Write the bundle to `out`. Nothing stays there when that fails.

    Raises:
        ConfigError: there is no such variant, it is not live, or there is no delta from the base (yet).
        Refused: the server says no.
        ServerError: the server cannot be reached or failed.
    """
    version = rest.get(f"models/{wanted.model}/versions/{wanted.version}")
    variant = _variant(version, wanted.variant)
    news = ask_news(rest, wanted.model, root=0)
    _require_live(wanted, variant, news)
    entry = _entry(wanted, version, _ways(rest, wanted, variant))
    target = entry["target"]
    digests = [way["sha256"] for way in entry["ways"]]
    digests += [file["sha256"] for file in (target["contract"], target["sample_set"]) if file]
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle-") as folder:
        partial = Path(folder) / "bundle.tar"
        # USTAR: plain members that every reader takes, no extended headers.
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            _add(tar, "bundle.json", _index(entry))
            _add(tar, "trust.json", json.dumps(news).encode())
            for sha256 in dict.fromkeys(digests):
                file = Path(folder) / sha256
                rest.download(sha256, file, progress=progress)
                with file.open("rb") as content:
                    tar.addfile(_member(f"artifacts/{sha256}", file.stat().st_size), content)
                file.unlink()
        partial.replace(out)
    return Written(entry, _end(news))


def _require_live(wanted: Bundle, variant: Json, news: Json) -> None:
    """Look whether devices would take it.

    Raises:
        ConfigError: they would not.
    """
    path = f"{wanted.version}/{wanted.variant}"
    live = live_digests(news["targets"].encode()) if "targets" in news else {}
    if live.get(path) != variant["sha256"]:
        raise ConfigError(
            f"{wanted.model} {path} is not in the signed list, so no device would install it; live: {', '.join(live) or 'nothing'}"
        )


def _end(news: Json) -> datetime:
    """When the first of the files that a device needs ends; of the roots only the newest counts."""
    texts = [news["roots"][-1], *(news[role] for role in ("timestamp", "snapshot", "targets"))]
    return min(expiry_of(text.encode())[1] for text in texts)


def _variant(version: Json, name: str) -> Json:
    variants: dict[str, Json] = {variant["name"]: variant for variant in version["variants"]}
    if name not in variants:
        known = ", ".join(variants) or "none"
        raise ConfigError(f"{version['model']} {version['version']} has no variant {name!r}; it has: {known}")
    return variants[name]


def _ways(rest: RestClient, wanted: Bundle, variant: Json) -> list[Json]:
    """The ways to put in, smallest first."""
    patches = [
        cell
        for cell in rest.pages(f"models/{wanted.model}/deltas")
        if cell["target"]["sha256"] == variant["sha256"] and cell["format"] == PATCH_FORMAT
    ]
    ways: list[Json] = []
    if wanted.base:
        ways.append(_delta(patches, wanted.base))
    if not wanted.only_delta:
        packed = [cell for cell in patches if cell["base"] is None and cell["state"] == "ready"]
        raw = {"way": "raw", "sha256": variant["sha256"], "size_bytes": variant["size_bytes"]}
        ways += [_patch("packed", cell) for cell in packed] or [raw]
    return sorted(ways, key=lambda way: int(way["size_bytes"]))


def _delta(patches: list[Json], base: str) -> Json:
    for cell in patches:
        if cell["base"] and cell["base"]["sha256"] == base:
            if cell["state"] == "ready":
                return _patch("delta", cell) | {"base": base}
            raise ConfigError(f"the delta from {base[:12]} is {cell['state']}: try again later, or leave --base out")
    raise ConfigError(f"no delta from {base[:12]} was made: it is made when a rollout needs it; or leave --base out")


def _patch(way: str, cell: Json) -> Json:
    return {"way": way, "format": cell["format"], "sha256": cell["sha256"], "size_bytes": cell["size_bytes"]}


def _entry(wanted: Bundle, version: Json, ways: list[Json]) -> Json:
    variant = _variant(version, wanted.variant)
    tolerances: Mapping[str, Any] = variant.get("tolerances") or {}
    return {
        "model": wanted.model,
        "action": "install",
        "rollout": None,
        "target": {
            "version": wanted.version,
            "variant": wanted.variant,
            "sha256": variant["sha256"],
            "size_bytes": variant["size_bytes"],
            "contract": version["contract"],
            "sample_set": version["sample_set"],
            "tolerances": {name: tolerances.get(name) for name in TOLERANCES},
        },
        "ways": ways,
        "policy": {"delta_pending": False, "wait_for_delta_s": 0},
    }


def _index(entry: Json) -> bytes:
    return json.dumps({"schema": SCHEMA, "installation": entry}, indent=2).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member
