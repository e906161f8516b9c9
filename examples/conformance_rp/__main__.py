"""``python -m examples.conformance_rp``: serve the relying party over TLS."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import uvicorn

from examples.conformance_rp.app import RelyingParty
from reliant import OAuthError


def main() -> None:
    """Read the options and the configuration, then serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.conformance_rp",
        description="A relying party that the OpenID Foundation's conformance suite can drive.",
    )
    parser.add_argument("--config", required=True, type=Path, help="the configuration, JSON")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--certfile", required=True, help="this server's certificates, PEM")
    parser.add_argument("--keyfile", required=True, help="their private key, PEM")
    options = parser.parse_args()
    try:
        members = json.loads(options.config.read_text())
        app = RelyingParty({"base_url": f"https://localhost:{options.port}", **members})
    except (ValueError, TypeError, OSError, OAuthError) as exc:
        parser.error(f"{options.config}: {exc}")
    # The log is evidence in a certification: what was sent, and why an answer was refused.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        ssl_certfile=options.certfile,
        ssl_keyfile=options.keyfile,
        access_log=False,  # a callback's address holds the code
    )


if __name__ == "__main__":
    main()
