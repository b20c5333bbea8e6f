"""`python -m delta`: the codec's commands without the rest of the product."""

import argparse
import sys

from delta.commands import add_arguments, run

parser = argparse.ArgumentParser(prog="delta", description="Make, apply and describe patches between model files.")
add_arguments(parser)
sys.exit(run(parser.parse_args()))
