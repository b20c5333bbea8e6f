"""NNCodec, the reference software of ISO/IEC 15938-17 (D. Becking et al., ICML 2023 Neural Compression Workshop): weights, lossy.

No `Codec`: it gives back other weights than it was given, so it has a curve of bytes against accuracy and no patch to compare. It codes
the difference of two versions with dependent quantisation and DeepCABAC. It pulls in torch and an old numpy, so it lives in an
environment of its own, which is made when it is first needed; `nncodec_child` runs there.

What it is given is the best that we know: running statistics folded into gamma and beta, tensors that do not differ left out, its own
choice of a step per tensor (`opt_qp`) and one by what the tensor's weights matter, vectors coded finely and as coarsely as matrices.
Whoever compares takes the best of all these for each pair.
"""

import json
import math
import subprocess
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.folders import environments_folder

Weights = NDArray[np.float32]

NAME = "NNCodec"
VERSION = "2.1.3"
# In this order: the exact spelling of torch gets the build for processors, and nncodec takes what is there.
REQUIREMENTS = (("torch==2.13.0",), ("torch==2.13.0", f"nncodec=={VERSION}", "numpy<2"))
QPS = tuple(range(-46, -17, 2))
FINE_NONWEIGHT_QP = -75
"""Its own default for vectors."""
_QP_PER_OCTAVE = 4
_QP_LIMIT = 127
_SPREAD_OCTAVES = 3.0


@dataclass(frozen=True, slots=True)
class Setting:
    """How it codes once: the step is `2 ** (qp / 4)`, for tensors named in `qp_per_tensor` that of its own."""

    name: str
    qp: int
    nonweight_qp: int | None = None
    opt_qp: bool = False
    qp_per_tensor: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Coded:
    """What came of a setting: all bytes of the bitstream, and the difference that its decoder restores from them."""

    setting: Setting
    size_bytes: int
    difference: Mapping[str, Weights]


def sweep(differences: Mapping[str, Weights], importance: Mapping[str, float] | None) -> Iterator[Setting]:
    """Settings from fine to coarse. `importance`: what a squared error of a weight costs, on average over the tensor."""
    for qp in QPS:
        yield Setting("opt_qp, fine vectors", qp, FINE_NONWEIGHT_QP, opt_qp=True)
        yield Setting("opt_qp", qp, None, opt_qp=True)
        yield Setting("one step", qp, qp)
        if importance is not None:
            weighted = qp_by_importance(differences, importance, qp)
            yield Setting("by importance", qp, qp, qp_per_tensor=weighted)


def qp_by_importance(differences: Mapping[str, Weights], importance: Mapping[str, float], qp: int) -> dict[str, int]:
    """A qp per tensor around `qp`: an error of one step costs the same everywhere, within `_SPREAD_OCTAVES` of the middle one.

    That is the step that spends bits where they save most, at high rate (A. Gersho and R. Gray, Vector Quantization, 1992, 8.3).
    """
    sizes = {name: differences[name].size for name in differences}
    logs = {name: -0.5 * math.log2(max(importance.get(name, 0.0), 1e-30)) for name in differences}
    order = sorted(logs, key=lambda name: logs[name])
    half, middle = sum(sizes.values()) / 2, 0.0
    for name in order:
        half -= sizes[name]
        if half <= 0:
            middle = logs[name]
            break
    found = {}
    for name, log in logs.items():
        octaves = min(max(log - middle, -_SPREAD_OCTAVES), _SPREAD_OCTAVES)
        found[name] = min(max(qp + round(_QP_PER_OCTAVE * octaves), -_QP_LIMIT), _QP_LIMIT)
    return found


def interpreter(cache: Path) -> Path:
    """The Python that can load it; its environment is made where it is not there, which takes some minutes.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    folder = environments_folder(cache) / "nncodec"
    done = folder / "done"
    python = folder / "bin" / "python"
    if not done.exists():
        venv.create(folder, with_pip=True)
        for requirements in REQUIREMENTS:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *requirements], check=True)
        done.touch()
    return python


def code(differences: Mapping[str, Weights], settings: Sequence[Setting], *, cache: Path) -> Iterator[Coded]:
    """Code `differences` with each setting, decode again, and yield what came out; tensors that are zero are left out.

    Raises:
        subprocess.CalledProcessError: it failed; its own message has been printed.
    """
    sent = {name: values for name, values in differences.items() if values.any()}
    names = list(sent)
    with tempfile.TemporaryDirectory() as folder:
        given, wanted = Path(folder) / "given.npz", Path(folder) / "wanted.json"
        # Tensors by number: it derives meanings from names.
        np.savez(given, allow_pickle=False, **{f"t{place}": sent[name] for place, name in enumerate(names)})
        wanted.write_text(json.dumps([_by_number(setting, names) for setting in settings]), encoding="utf-8")
        child = Path(__file__).with_name("nncodec_child.py")
        # -P: or this folder would come before the packages there, and this module is named like one.
        subprocess.run([interpreter(cache), "-P", child, given, wanted, folder], check=True, stdout=subprocess.DEVNULL)
        for place, setting in enumerate(settings):
            with np.load(Path(folder) / f"{place}.npz", allow_pickle=False) as found:
                restored = {name: found[f"t{number}"] for number, name in enumerate(names)}
                size_bytes = int(found["size_bytes"])
            zeros = {name: np.zeros_like(values) for name, values in differences.items() if name not in restored}
            yield Coded(setting, size_bytes, restored | zeros)


def _by_number(setting: Setting, names: Sequence[str]) -> dict[str, object]:
    per_tensor = setting.qp_per_tensor
    if per_tensor is not None:
        per_tensor = {f"t{number}": per_tensor[name] for number, name in enumerate(names) if name in per_tensor}
    return asdict(replace(setting, qp_per_tensor=per_tensor))
