"""One worker of an app with login sessions: `python -m tests.distributed.worker '<json>'`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main(config: dict[str, Any]) -> None:
    """Set this worker's clock, then import what takes the time from it."""
    right = time.time
    time.time = lambda: right() + config.get("clock", 0)
    from tests.distributed.app import serve

    serve(config)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
