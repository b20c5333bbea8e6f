"""Which of two versions is the lower one: semantic precedence (semver.org 2.0.0, item 11).

The `semver` package does the same, and a test holds the two together; in the daemon it would stay resident with 270 KiB.
"""

import re

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
MAX_LENGTH = 200


def is_lower(version: str, than: str) -> bool | None:
    """Whether a version comes before another one; `None` where one of them is no semantic version."""
    mine, theirs = _key(version), _key(than)
    return None if mine is None or theirs is None else mine < theirs


def _key(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]] | None:
    """What sorts like the versions themselves: a release comes after its pre-releases, a number before a word."""
    matched = _VERSION.fullmatch(version) if len(version) <= MAX_LENGTH else None
    if matched is None:
        return None
    *core, prerelease = matched.groups()
    identifiers = [] if prerelease is None else prerelease.split(".")
    words = tuple((not one.isdecimal(), int(one) if one.isdecimal() else 0, one) for one in identifiers)
    return tuple(map(int, core)), prerelease is None, words
