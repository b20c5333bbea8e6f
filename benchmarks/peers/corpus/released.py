"""Pairs of released models, from wheels on PyPI and from the models of our own demo."""

from pathlib import Path
from typing import Protocol

from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.corpus.wheels import WheelMember
from benchmarks.peers.pairs import Made, PairClass

DEMO_FOLDER = Path(__file__).parents[3] / "client" / "demo_data"


class Source(Protocol):
    """A released file. Its text says which."""

    @property
    def suffix(self) -> str: ...

    def read(self, workshop: Path) -> bytes: ...


class DemoFile:
    """A committed model of the demo."""

    def __init__(self, name: str) -> None:
        self._path = DEMO_FOLDER / name

    @property
    def suffix(self) -> str:
        return self._path.suffix

    def read(self, workshop: Path) -> bytes:
        return self._path.read_bytes()

    def __str__(self) -> str:
        return f"demo {self._path.name}"


def _silero(version: str, name: str = "silero_vad.onnx") -> Source:
    return WheelMember("silero-vad", version, f"silero_vad/data/{name}")


def _ocr(version: str, name: str) -> Source:
    return WheelMember("rapidocr-onnxruntime", version, f"rapidocr_onnxruntime/models/{name}_infer.onnx")


def _wake_word(name: str) -> Source:
    # The last release whose wheel holds its models.
    return WheelMember("openwakeword", "0.4.0", f"openwakeword/resources/models/{name}.onnx")


def _recipe(pair_class: PairClass, name: str, base: Source | None, new: Source) -> Recipe:
    def make(workshop: Path) -> Made:
        return Made(
            new=new.read(workshop),
            base=base.read(workshop) if base else None,
            suffix=new.suffix,
            base_suffix=base.suffix if base else ".onnx",
        )

    return Recipe(pair_class, name, f"{base} to {new}" if base else f"{new}, packed", make)


_SILERO_16K = _silero("6.2.3", "silero_vad_16k_op15.onnx")
_DEMO = {name: DemoFile(f"digits-{name}.onnx") for name in ("1.0.0-fp32", "1.0.0-int8", "1.1.0-fp32", "1.1.0-int8")}

RECIPES = [
    _recipe(PairClass.FINE_TUNED, "demo-digits", _DEMO["1.0.0-fp32"], _DEMO["1.1.0-fp32"]),
    _recipe(PairClass.INT8_FINE_TUNED, "demo-digits", _DEMO["1.0.0-int8"], _DEMO["1.1.0-int8"]),
    _recipe(PairClass.TO_INT8, "demo-digits-1.0.0", _DEMO["1.0.0-fp32"], _DEMO["1.0.0-int8"]),
    _recipe(PairClass.TO_INT8, "demo-digits-1.1.0", _DEMO["1.1.0-fp32"], _DEMO["1.1.0-int8"]),
    _recipe(PairClass.UNRELATED, "retrained-silero-6.0.0", _silero("5.1.2"), _silero("6.0.0")),
    _recipe(PairClass.UNRELATED, "retrained-silero-6.2.0", _silero("6.0.0"), _silero("6.2.0")),
    _recipe(
        PairClass.UNRELATED,
        "retrained-silero-16k",
        _silero("6.0.0", "silero_vad_16k_op15.onnx"),
        _silero("6.2.0", "silero_vad_16k_op15.onnx"),
    ),
    _recipe(
        PairClass.UNRELATED, "retrained-ocr-det", _ocr("1.2.0", "ch_PP-OCRv3_det"), _ocr("1.4.0", "ch_PP-OCRv4_det")
    ),
    _recipe(
        PairClass.UNRELATED, "retrained-ocr-rec", _ocr("1.2.0", "ch_PP-OCRv3_rec"), _ocr("1.4.0", "ch_PP-OCRv4_rec")
    ),
    _recipe(PairClass.UNRELATED, "unrelated-wake-words", _wake_word("timer_v0.1"), _wake_word("weather_v0.1")),
    _recipe(PairClass.UNRELATED, "unrelated-silero-ocr", _silero("6.2.3"), _ocr("1.4.0", "ch_ppocr_mobile_v2.0_cls")),
    _recipe(PairClass.UNRELATED, "packed-silero", None, _silero("6.2.3")),
    _recipe(PairClass.UNRELATED, "packed-silero-half", None, _silero("6.2.3", "silero_vad_half.onnx")),
    _recipe(PairClass.UNRELATED, "packed-ocr-cls", None, _ocr("1.4.0", "ch_ppocr_mobile_v2.0_cls")),
    _recipe(PairClass.UNRELATED, "packed-ocr-det", None, _ocr("1.4.0", "ch_PP-OCRv4_det")),
    _recipe(PairClass.UNRELATED, "packed-ocr-rec", None, _ocr("1.4.0", "ch_PP-OCRv4_rec")),
    _recipe(PairClass.UNRELATED, "packed-wake-embedding", None, _wake_word("embedding_model")),
    _recipe(PairClass.UNRELATED, "packed-wake-alexa", None, _wake_word("alexa_v0.1")),
    _recipe(PairClass.UNRELATED, "packed-demo-digits", None, _DEMO["1.1.0-fp32"]),
    _recipe(PairClass.SAME_WEIGHTS, "silero-sequence", _SILERO_16K, _silero("6.2.3", "silero_vad_16k_sequence.onnx")),
    _recipe(PairClass.SAME_WEIGHTS, "silero-openvino", _SILERO_16K, _silero("6.2.3", "silero_vad_openvino_16k.onnx")),
    _recipe(PairClass.SAME_WEIGHTS, "silero-16k-only", _silero("6.2.3"), _SILERO_16K),
    # Another graph, and the weights of its 8 kHz half were trained on (correlation .99 with those of the base).
    _recipe(PairClass.OTHER, "silero-ifless", _silero("6.2.3"), _silero("6.2.3", "silero_vad_op18_ifless.onnx")),
    # Another container, and all weights but the STFT's were trained on a long way (correlation .90 to .98).
    _recipe(PairClass.OTHER, "silero-safetensors", _SILERO_16K, _silero("6.2.3", "silero_vad_16k.safetensors")),
    _recipe(PairClass.OTHER, "silero-torchscript", _silero("6.2.3"), _silero("6.2.3", "silero_vad.jit")),
    _recipe(PairClass.OTHER, "packed-demo-digits-int8", None, _DEMO["1.1.0-int8"]),
    _recipe(PairClass.OTHER, "packed-silero-torchscript", None, _silero("6.2.3", "silero_vad.jit")),
]
