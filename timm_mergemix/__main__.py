"""Runs the command line as ``python -m timm_mergemix``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
