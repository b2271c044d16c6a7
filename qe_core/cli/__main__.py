"""`python -m qe_core.cli` is the `qe` command."""

import sys

from qe_core.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
