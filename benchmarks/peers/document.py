"""The whole comparison as one document: what was run, on what, and every figure."""

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers import table
from benchmarks.peers.codecs import CODECS
from benchmarks.peers.reach import Row, Verdict


def markdown(
    rows: list[Row], verdicts: list[Verdict], generic: list[Verdict], *, cache: Path, idle_bytes: int
) -> Iterator[str]:
    """The lines of the full page."""
    yield "# The codec against its peers"
    yield ""
    yield f"Written by `python -m benchmarks.peers table --out docs/peers.md`, Python {platform.python_version()}, one core of"
    yield f"{_processor()}. Bytes are exact. Every row was restored and compared. Seconds are of the processor (user and"
    yield "system) and MiB the growth of resident memory over a process that has loaded its libraries; for programs all of it."
    yield "Ours writes to a memory-backed folder, so its fsync costs nothing; making includes its proof by decoding."
    yield f"A bare numpy process peaks at {idle_bytes / table.MIB:.1f} MiB."
    yield ""
    yield "Versions: " + ", ".join(
        f"{name} {codec.version(cache) or 'not installed'}" for name, codec in CODECS.items()
    )
    yield ""
    yield from table.absences(rows)
    yield from ("", "## What we want to reach", "")
    yield from table.reach_table(verdicts)
    yield from (
        "",
        "The same against generic peers alone, without ZipNN, which knows floats and predicts a weight by its place in the base:",
        "",
    )
    yield from table.reach_table(generic)
    yield from ("", "Sparse differences and the adaptive order-0 entropy of their codes, in bytes:", "")
    yield from table.entropy_table(rows)
    yield from (
        "",
        "Fine-tunes and the entropy of their differences as Gaussian noise by output channel, in bytes:",
        "",
    )
    yield from table.noise_table(rows)
    yield from ("", "## Bytes", "", "Bold: the best peer. A dash: it cannot do this pair.")
    yield from table.byte_tables(rows)
    yield from ("", "## Seconds and memory", "", "To make; to apply.")
    yield from table.cost_tables(rows)
    yield from ("", "## The pairs", "")
    yield from table.pair_table(rows)


def as_json(rows: list[Row], verdicts: list[Verdict], generic: list[Verdict], idle_bytes: int) -> str:
    """Everything for a program."""
    document = {
        "idle_peak_bytes": idle_bytes,
        "reach": [asdict(verdict) for verdict in verdicts],
        "reach_of_generic_peers": [asdict(verdict) for verdict in generic],
        "pairs": [_pair(row) for row in rows],
    }
    return json.dumps(document, indent=2)


def _pair(row: Row) -> dict[str, Any]:
    pair = row.pair
    return {
        "class": pair.pair_class,
        "pair": pair.name,
        "how": pair.how,
        "base": {"bytes": pair.base_bytes, "sha256": pair.base_sha256} if pair.base else None,
        "new": {"bytes": pair.new_bytes, "sha256": pair.new_sha256},
        "codes": asdict(row.entropy) if row.entropy else None,
        "noise_bytes": row.noise_bytes,
        "ratio": row.ratio(),
        "ratio_of_generic_peers": row.ratio(generic=True),
        "results": {name: asdict(result) for name, result in row.results.items()},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
