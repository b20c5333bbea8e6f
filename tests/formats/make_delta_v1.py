"""Write the golden files of patch format version 1 into `delta_v1/`: run once, then read by every later version for ever.

`model.patch` turns `model.base` into `model.target` with every predictor; `coders.patch` is packed and holds a block of every
coder for every item type, a stored stream and a zstd frame. The script refuses to replace files that exist.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from delta.arrays import ITEM_TYPES, Items
from delta.coders import CODERS, zstd
from delta.decoder import read_info, verify
from delta.encoder import encode
from delta.format import Header, Identity, serialise_index
from delta.predictors import PREDICTORS, Span
from delta.predictors.literal import Literal
from delta.streams import BLOCK_HEADER, BLOCKS, FRAME, STORED, StreamEntry

FOLDER = Path(__file__).parent / "delta_v1"
ITEMS = 300


def main() -> None:
    """Make the folder and all files in it."""
    FOLDER.mkdir()
    make_model()
    make_coders()


def make_model() -> None:
    """A fine-tune with one tensor quantised, one sent as codes again, one the same, one new."""
    numbers = np.random.default_rng(1)
    weights = numbers.normal(0, 0.1, (24, 30)).astype(np.float32)
    codes = numbers.integers(-90, 90, (24, 30), np.int8)
    scale = numbers.uniform(0.001, 0.002, 24).astype(np.float32)
    quantised = np.clip(np.rint(weights / scale[:, None]), -128, 127).astype(np.int8)
    fixed = numbers.normal(size=90).astype(np.float32)
    base = {"moved": weights, "codes": codes, "q": weights, "fixed": fixed}
    new = {
        "moved": weights * np.float32(1.0001),
        "codes": codes + numbers.integers(-1, 2, codes.shape, np.int8),
        "q_quantized": quantised,
        "q_scale": scale,
        "fixed": fixed,
        "added": numbers.normal(size=200).astype(np.float32),
    }
    (FOLDER / "model.base").write_bytes(onnx_file("first", base))
    (FOLDER / "model.target").write_bytes(onnx_file("second", new))
    encode(FOLDER / "model.base", FOLDER / "model.target", FOLDER / "model.patch")
    used = set(read_info(FOLDER / "model.patch").spans)
    if used != {predictor.name for predictor in PREDICTORS.values()}:
        sys.exit(f"the golden patch uses only {used}")


def onnx_file(name: str, tensors: dict[str, Items]) -> bytes:
    """A graph of nothing but initializers."""
    kinds = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8}
    protos = [helper.make_tensor(n, kinds[v.dtype.name], v.shape, v.tobytes(), raw=True) for n, v in tensors.items()]
    model = helper.make_model(helper.make_graph([], name, [], [], protos))
    return bytes(model.SerializeToString(deterministic=True))


def make_coders() -> None:
    """Written without the encoder, which would choose."""
    numbers = np.random.default_rng(2)
    text = b"a stream with one history, a stream with one history, a stream with one history"
    frame = zstd.compress(text, level=19)
    entries = [StreamEntry(STORED, 0, len(text), len(text), 0), StreamEntry(FRAME, 0, len(text), len(frame), 0)]
    bodies, plain = [text, frame], text + text
    for number, item in enumerate(ITEM_TYPES):
        body = b""
        blocks = 0
        for coder in CODERS.values():
            items = (numbers.normal(size=ITEMS) * 20).astype(item)
            coded = coder.encode(items, level=8)
            if coded is not None:
                body += BLOCK_HEADER.pack(coder.NUMBER, ITEMS, len(coded)) + coded
                plain += items.tobytes()
                blocks += 1
        entries.append(StreamEntry(BLOCKS, number, ITEMS * blocks, len(body), ITEMS))
        bodies.append(body)
    lengths = [entry.items * entry.item_type.itemsize for entry in entries]
    spans = [Span(Literal.number, length, (stream,)) for stream, length in enumerate(lengths)]
    index = serialise_index(entries, spans)
    coded_index = zstd.compress(index, level=19)
    target = Identity(hashlib.sha256(plain).hexdigest(), len(plain))
    header = Header(None, target, 1 << 16, 0, len(entries), len(spans), len(index), len(coded_index))
    (FOLDER / "coders.target").write_bytes(plain)
    (FOLDER / "coders.patch").write_bytes(header.serialise() + coded_index + b"".join(bodies))
    verify(None, FOLDER / "coders.patch")


if __name__ == "__main__":
    main()
