"""`python -m agent`: the same as `smallfleet agent`, for a device without the rest of the command line."""

import argparse
import sys

from agent import commands
from agent.errors import ending


def main() -> int:
    """Run one sub-command; an error becomes its message and its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m agent",
        description=commands.__doc__,
        epilog=commands.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands.add_arguments(parser)
    try:
        return ending(lambda: commands.run(parser.parse_args()))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
