"""Trained nets as ONNX files, made when they are first asked for. Only then is torch needed."""

from pathlib import Path

NETS = ("squeezenet", "convnet", "mobilenet", "recurrent", "perceptron")


def checkpoint(workshop: Path, net: str, stage: str, *, deployed: bool = False) -> Path:
    """The ONNX file of `net` after `stage`; `deployed` has its batch normalisation folded into the convolutions."""
    folder = workshop / "nets" / net
    path = folder / f"{stage}{'-deployed' if deployed else ''}.onnx"
    # Weights are written last: a checkpoint without them is unfinished.
    if not (folder / f"{stage}.pt").exists():
        from benchmarks.peers.corpus.nets import make_checkpoint

        make_checkpoint(folder, net, stage)
    return path
