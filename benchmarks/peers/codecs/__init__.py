"""What is compared. Adding a codec is one file and one entry here."""

from benchmarks.peers.codecs.bsdiff import Bsdiff
from benchmarks.peers.codecs.codec import Codec
from benchmarks.peers.codecs.hdiff import HDiff
from benchmarks.peers.codecs.ours import Ours
from benchmarks.peers.codecs.xdelta import Xdelta
from benchmarks.peers.codecs.xz_alone import XzAlone
from benchmarks.peers.codecs.zipnn import ZipNN
from benchmarks.peers.codecs.zstd_alone import ZstdAlone
from benchmarks.peers.codecs.zstd_patch import ZstdPatch

__all__ = ["CODECS", "GENERIC_PEERS", "HDIFF", "OURS_FAST", "OURS_MAX", "PEERS", "ZSTD_ALONE", "Codec"]

OURS_FAST, OURS_MAX = Ours("fast"), Ours("max")
ZSTD_ALONE, HDIFF = ZstdAlone(), HDiff()
GENERIC_PEERS: list[Codec] = [ZSTD_ALONE, XzAlone(), Bsdiff(), HDIFF, Xdelta(), ZstdPatch()]
PEERS: list[Codec] = [*GENERIC_PEERS, ZipNN(difference=False), ZipNN(difference=True)]
_ALL: list[Codec] = [OURS_MAX, OURS_FAST, *PEERS]
CODECS = {codec.name: codec for codec in _ALL}
