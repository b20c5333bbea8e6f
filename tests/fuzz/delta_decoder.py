"""Coverage-guided fuzzing of the decoder, outside CI: what random damage does not reach, branches seen so far may.

    python3.11 -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris -c constraints.txt numpy pcodec zstandard
    .venv/bin/python -m tests.fuzz.specimens /tmp/corpus
    /tmp/fuzz/bin/python -m tests.fuzz.delta_decoder -max_total_time=900 -rss_limit_mb=1024 /tmp/corpus

An input is one byte that chooses the base, and a patch. What is found is made small (`-minimize_crash=1`) and kept as a
test. Every option is libFuzzer's (https://llvm.org/docs/LibFuzzer.html#options).
"""

import random
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["delta"], exclude=["delta.text"]):  # a loop a bit, twenty times as slow
    from delta.errors import DeltaError, MemoryExhausted
    from tests.properties import delta_mutation

_BASES: list[bytes | None] = [None]
"""Of the inputs given, in their order; filled before fuzzing."""
_FOLDER = Path(tempfile.mkdtemp(prefix="delta-fuzz-", dir="/dev/shm"))


def one_input(chosen: bytes) -> None:
    """Apply one patch: any error but the codec's own is a finding, and so is one of memory."""
    if not chosen:
        return
    base = _BASES[chosen[0] % len(_BASES)]
    try:
        delta_mutation.restored(base, chosen[1:], _FOLDER, delta_mutation.LIMITS)
    except MemoryExhausted:
        raise
    except DeltaError:
        pass


def mutated(chosen: bytes, most: int, seed: int) -> bytes:
    """Another input: damaged where the format says, as long as it can be taken apart, else anywhere."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    if chance.random() < 0.7:
        try:
            patch = delta_mutation.mutant(delta_mutation.Specimen("", None, bytes(chosen[1:]), b""), chance)
        except (DeltaError, IndexError, StopIteration):
            pass
        else:
            return (chosen[:1] + patch)[:most]
    found: bytes = atheris.Mutate(chosen, most)
    return found


def main() -> None:
    """See the module."""
    warnings.simplefilter("error")
    corpus = Path(sys.argv[-1])
    _BASES.extend(path.read_bytes() for path in sorted(corpus.parent.glob(f"{corpus.name}-bases/*")))
    atheris.Setup(sys.argv, one_input, custom_mutator=mutated)
    delta_mutation.limit_address_space(8 << 30)  # the fuzzer keeps what it finds
    atheris.Fuzz()


if __name__ == "__main__":
    main()
