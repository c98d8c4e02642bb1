"""``python -m benchmarks.gpu``."""

import sys

from ..command import main
from . import command

if __name__ == "__main__":
    sys.exit(main(command))
