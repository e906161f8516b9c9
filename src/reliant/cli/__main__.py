"""``python -m reliant.cli`` is the command ``reliant``."""

import sys

from reliant.cli import main

if __name__ == "__main__":
    sys.exit(main())
