"""Where the corpus, environments and results lie: outside of the repository, because they are large and can be made again."""

import os
from pathlib import Path

VARIABLE = "SMALLFLEET_PEERS_CACHE"


def default_cache() -> Path:
    """`$SMALLFLEET_PEERS_CACHE`, else `smallfleet/peers` in the user's cache folder (XDG base directory specification)."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "smallfleet" / "peers"


def corpus_folder(cache: Path) -> Path:
    """Finished pairs: `<class>/<pair>/`."""
    return cache / "corpus"


def workshop_folder(cache: Path) -> Path:
    """What pairs are made from: wheels, trained nets."""
    return cache / "workshop"


def results_folder(cache: Path) -> Path:
    """One JSON file per measurement."""
    return cache / "results"


def environments_folder(cache: Path) -> Path:
    """Virtual environments of peers that must not share ours."""
    return cache / "environments"
