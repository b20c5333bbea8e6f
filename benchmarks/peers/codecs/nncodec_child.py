"""Runs NNCodec in its own environment: `nncodec_child.py GIVEN.npz WANTED.json FOLDER`. Imports nothing of ours."""

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Write `<n>.npz` for each setting: the decoded tensors, and `size_bytes` of the bitstream."""
    import torch

    # It imports torchvision for data sets that nobody loads here; a torchvision built for other processors than torch has no
    # operators of its own, and describing these is all that fails.
    torch.library.register_fake = lambda *_names, **_options: lambda described: described
    from nncodec import nn

    torch.set_num_threads(1)
    given, wanted, folder = map(Path, sys.argv[1:])
    with np.load(given, allow_pickle=False) as archive:
        tensors = {name: archive[name] for name in archive.files}
    for place, setting in enumerate(json.loads(wanted.read_text(encoding="utf-8"))):
        arguments = {key: setting[key] for key in ("qp", "nonweight_qp", "opt_qp", "qp_per_tensor")}
        if arguments["qp_per_tensor"] is not None:
            arguments["qp_per_tensor"] = {n: np.int32(qp) for n, qp in arguments["qp_per_tensor"].items()}
        copies = {name: values.copy() for name, values in tensors.items()}
        bitstream = nn.encode(copies, {**arguments, "verbose": False, "results": str(folder)})
        decoded = nn.decode(bitstream)
        np.savez(folder / f"{place}.npz", allow_pickle=False, size_bytes=np.int64(len(bitstream)), **decoded)


if __name__ == "__main__":
    main()
