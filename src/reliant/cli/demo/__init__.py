"""``reliant demo``: an application and a provider on this machine, to try a login with."""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import sys
import threading
import webbrowser
from typing import Any

__all__ = ["add_command", "run"]

_WELCOME = """\
Reliant demo

  Application  {app}   <- open this one
  Provider     {provider}

Log in with any user name; there is no password. Stop with Ctrl-C.
"""


def add_command(commands: Any) -> None:
    """Add ``demo`` to the command line's sub-parsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="run a demo application and a provider to log in at",
        description="Run a demo application and an OpenID provider to log in at, on this machine.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument(
        "--port",
        type=_port,
        default=8000,
        help="the application's port (%(default)s, or the next free)",
    )
    parser.add_argument("--open", action="store_true", help="open the application in your browser")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C; returns the exit code."""
    if importlib.util.find_spec("uvicorn") is None:
        print(
            "The demo is served by uvicorn, which is not installed. Install it with:\n\n"
            "    pip install 'reliant[demo]'",
            file=sys.stderr,
        )
        return 1
    # Only now: these need uvicorn, which the rest of the command line does without.
    from reliant.cli.demo.app import build_app
    from reliant.cli.demo.server import listen, serve
    from reliant.testing import Behaviour, FakeProvider

    try:
        app_socket = listen(options.host, options.port)
        provider_socket = listen("127.0.0.1", 0)
    except OSError as error:
        print(f"Can't listen on {options.host}: {error.strerror}.", file=sys.stderr)
        return 1
    port = app_socket.getsockname()[1]
    if options.port not in (0, port):
        print(f"Port {options.port} is in use; taking {port}.\n")
    app_url = f"http://{_in_url(options.host)}:{port}"
    # "localhost" is another site than 127.0.0.1, as a provider is in real life: cookies whose
    # SameSite is wrong fail here too, not only in production.
    provider = FakeProvider(
        f"http://localhost:{provider_socket.getsockname()[1]}",
        clients=[],
        behaviour=Behaviour(claims_in_id_token=True),  # so that the profile has a name at once
    )
    names = {app_url, f"http://localhost:{port}"}  # the other name people type
    provider.add_client(
        "reliant-demo",
        "a-secret-only-these-two-know",
        redirect_uris=[f"{name}/callback" for name in names],
        post_logout_redirect_uris=[f"{name}/logged-out" for name in names],
    )
    app = build_app(
        client_id="reliant-demo",
        client_secret="a-secret-only-these-two-know",
        server_metadata_url=provider.server_metadata_url,
    )

    # Both sockets listen already, so a browser that is quicker than the servers just waits.
    print(_WELCOME.format(app=app_url, provider=provider.issuer), flush=True)
    if options.open:
        threading.Thread(target=webbrowser.open, args=[app_url], daemon=True).start()
    serve([(app, app_socket), (provider, provider_socket)])
    print("Stopped.")
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _in_url(host: str) -> str:
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        return host
    if everywhere:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
