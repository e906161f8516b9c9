"""A client certificate proves who the client is, at the addresses that ask for one (RFC 8705)."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reliant import ConfigurationError, ProviderError
from reliant.client import ClientSettings, OAuthClient

SECONDS = 10


@dataclass
class Network:
    """A provider with two doors: one for everybody, one for certificates of its CA."""

    ca: trustme.CA
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    door: str = ""
    mtls_door: str = ""

    def trust(self, who: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if who is not None:
            who.configure_cert(context)
        return context

    def app(self, door: str) -> Starlette:
        async def metadata(request: Request) -> Response:
            return JSONResponse(
                {
                    "issuer": self.door,
                    "token_endpoint": f"{self.door}/token",
                    "userinfo_endpoint": f"{self.door}/userinfo",
                    "mtls_endpoint_aliases": {"token_endpoint": f"{self.mtls_door}/token"},
                }
            )

        async def answer(request: Request) -> Response:
            form = parse_qs((await request.body()).decode())
            self.asked.append((f"{door}{request.url.path}", {k: v[0] for k, v in form.items()}))
            return JSONResponse({"access_token": "t", "token_type": "Bearer", "sub": "alice"})

        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", metadata),
                Route("/token", answer, methods=["POST"]),
                Route("/userinfo", answer),
            ]
        )

    def client(self, context: ssl.SSLContext, method: str) -> OAuthClient:
        settings = {
            "client_id": "the client",
            "issuer": self.door,
            "token_endpoint_auth_method": method,
            "client_secret": "secret",
            "client_kwargs": {"verify": context, "timeout": 5},
        }
        return OAuthClient(ClientSettings.read("op", settings))


@contextmanager
def serve(app: Any, certificate: Path, ca: Path | None) -> Iterator[str]:
    config = uvicorn.Config(
        app,
        log_level="critical",
        ws="none",
        ssl_certfile=certificate,
        ssl_ca_certs=None if ca is None else str(ca),
        ssl_cert_reqs=ssl.CERT_NONE if ca is None else ssl.CERT_REQUIRED,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            # The listener is open already: whoever connects waits until the server accepts.
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("tls")
    network = Network(trustme.CA())
    certificate, ca = folder / "server.pem", folder / "ca.pem"
    network.ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(certificate)
    )
    network.ca.cert_pem.write_to_path(str(ca))
    with (
        serve(network.app("plain"), certificate, None) as network.door,
        serve(network.app("mtls"), certificate, ca) as network.mtls_door,
    ):
        yield network


async def ask(client: OAuthClient) -> Any:
    try:
        return await client.fetch_access_token(grant_type="client_credentials")
    finally:
        await client.transport.aclose()


METHODS = ["tls_client_auth", "self_signed_tls_client_auth"]


@pytest.mark.parametrize("method", METHODS)
async def test_the_certificate_opens_the_other_door(network: Network, method: str) -> None:
    network.asked.clear()
    client = network.client(network.trust(network.ca.issue_cert("client@rp.example")), method)
    assert (await ask(client))["access_token"] == "t"
    ((where, form),) = network.asked
    assert where == "mtls/token"
    assert form == {"grant_type": "client_credentials", "client_id": "the client"}
    assert "secret" not in json.dumps(form)


async def test_where_there_is_no_alias_the_address_stays(network: Network) -> None:
    client = network.client(network.trust(), METHODS[0])
    metadata = await client.load_server_metadata()
    await client.transport.aclose()
    assert metadata.endpoint("userinfo_endpoint", mtls=True) == f"{network.door}/userinfo"
    assert metadata.endpoint("token_endpoint", mtls=True) == f"{network.mtls_door}/token"
    assert metadata.endpoint("token_endpoint") == f"{network.door}/token"


@pytest.mark.parametrize("case", ["none", "another CA's"])
async def test_without_the_right_certificate_the_door_stays_shut(
    network: Network, case: str
) -> None:
    network.asked.clear()
    stranger = trustme.CA().issue_cert("client@rp.example") if case != "none" else None
    with pytest.raises(ProviderError) as caught:
        await ask(network.client(network.trust(stranger), METHODS[0]))
    assert caught.value.code == "http.connection"
    assert network.asked == []


async def test_other_methods_keep_to_the_first_door(network: Network) -> None:
    network.asked.clear()
    await ask(network.client(network.trust(), "client_secret_post"))
    assert [where for where, _ in network.asked] == ["plain/token"]


async def test_a_provider_whose_certificate_nobody_vouches_for(network: Network) -> None:
    other = Network(trustme.CA(), door=network.door)
    with pytest.raises(ProviderError) as caught:
        await ask(other.client(other.trust(), METHODS[0]))
    assert caught.value.code == "http.connection"


async def test_an_alias_without_tls_is_refused() -> None:
    settings = {
        "client_id": "c",
        "token_endpoint": "https://op.example/token",
        "mtls_endpoint_aliases": {"token_endpoint": "http://op.example/token"},
        "token_endpoint_auth_method": METHODS[0],
    }
    client = OAuthClient(ClientSettings.read("op", settings))
    with pytest.raises(ConfigurationError) as caught:
        await client.fetch_access_token(grant_type="client_credentials")
    assert caught.value.code == "metadata.insecure"
