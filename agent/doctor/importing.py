"""A child of `doctor`: imports what the children of the agent need and prints each one's version, or why it cannot be imported."""

import importlib
import json
import sys

# The runtime, what it stands on, the decoder with its packages, and what the facts child asks.
MODULES = ("numpy", "onnxruntime", "delta.decoder", "psutil")


def main() -> int:
    """Print one JSON object: by module its version, or an object with the error."""
    found: dict[str, object] = {}
    for name in MODULES:
        try:
            found[name] = str(getattr(importlib.import_module(name), "__version__", ""))
        except Exception as error:  # noqa: BLE001 - whatever a broken package raises is what is asked here
            found[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
