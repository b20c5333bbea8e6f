"""Whether a file was in the page cache before it was read: what a cold start's file_read_ms means depends on it."""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Literal

PageCache = Literal["cold", "warm", "unknown"]

# Reading the head of a file to look at it leaves a few pages; read-ahead is 128 KiB by default.
_COLD_SHARE = 0.1
_WARM_SHARE = 0.99


def page_cache_of(path: Path) -> PageCache:
    """Ask the kernel by mincore(2), which reads nothing: cold below a tenth of the pages, warm from 99 %, else unknown."""
    share = cached_share(path)
    if share is None or _COLD_SHARE <= share < _WARM_SHARE:
        return "unknown"
    return "cold" if share < _COLD_SHARE else "warm"


def cached_share(path: Path) -> float | None:
    """The share of a file's pages that are in memory, or None where the kernel does not tell.

    To whoever neither owns the file nor may write it, the kernel says of every page that it is there (since Linux 5.2, CVE-2019-5489).
    """
    try:
        with path.open("rb") as file:
            if not (os.geteuid() in {0, os.fstat(file.fileno()).st_uid} or os.access(path, os.W_OK)):
                return None
            # Private and writable only so that ctypes may have its address; nothing is written, and no page is touched.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
                return _resident_share(mapped)
    except (OSError, ValueError):  # not there, no regular file, or empty
        return None


def _resident_share(mapped: mmap.mmap) -> float | None:
    pages = -(-len(mapped) // mmap.PAGESIZE)
    states = (ctypes.c_ubyte * pages)()
    first_byte = ctypes.c_char.from_buffer(mapped)
    try:
        refused = ctypes.CDLL(None).mincore(
            ctypes.c_void_p(ctypes.addressof(first_byte)), ctypes.c_size_t(len(mapped)), states
        )
    finally:
        del first_byte  # or the map could not be closed
    return None if refused else sum(state & 1 for state in states) / pages
