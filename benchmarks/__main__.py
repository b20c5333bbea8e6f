"""`python -m benchmarks MODEL.onnx`: the same as `smallfleet bench`."""

import argparse
import sys

from benchmarks import commands


def main() -> int:
    """Parse the command line, run the benchmark, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=commands.__doc__,
        epilog=commands.EPILOG,
    )
    commands.add_arguments(parser)
    return commands.run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
