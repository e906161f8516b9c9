"""The command line: ``reliant demo`` shows a login against a provider of its own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import reliant
from reliant.cli import demo

__all__ = ["build_parser", "main"]


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; each command sets ``run`` to the function that runs it."""
    parser = argparse.ArgumentParser(
        prog="reliant", description="OAuth 2.0 and OpenID Connect for Starlette and FastAPI."
    )
    parser.add_argument("--version", action="version", version=f"reliant {reliant.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    ``arguments``: without the program's name, by default those of the process.
    Returns the exit code; raises ``SystemExit`` as argparse does.
    """
    options = build_parser().parse_args(arguments)
    code: int = options.run(options)
    return code
