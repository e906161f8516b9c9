"""Hooks of the app: compliance fixes of every kind, sync and async, and client authentication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import anyio
import httpx2
import pytest

from reliant.client import OAuthClient
from reliant.errors import ConfigurationError, InvalidGrantError, OAuthError, TokenError
from reliant.protocol.messages import HttpRequest
from tests.helpers.op import Provider, new_client

BOTH = pytest.mark.parametrize("as_async", [False, True], ids=["sync", "async"])


def maybe_async(function: Callable[..., Any], as_async: bool) -> Callable[..., Any]:
    async def version(*args: Any, **kwargs: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return function(*args, **kwargs)

    return version if as_async else function


def fixed(
    provider: Provider, kind: str, hook: Callable[..., Any], as_async: bool = False
) -> OAuthClient:
    """A client with one compliance hook, it and its fix sync or async."""

    def fix(session: Any) -> None:
        session.register_compliance_hook(kind, maybe_async(hook, as_async))

    return new_client(provider, compliance_fix=maybe_async(fix, as_async))


async def redeem(client: OAuthClient) -> Any:
    return await client.fetch_access_token(code="c")


async def refresh(client: OAuthClient) -> Any:
    return await client.refresh_token("r")


async def revoke(client: OAuthClient) -> Any:
    return await client.revoke_token("t")


# -- requests ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("kind", "act", "path"),
    [
        ("access_token_request", redeem, "/token"),
        ("refresh_token_request", refresh, "/token"),
        ("revoke_token_request", revoke, "/revoke"),
    ],
)
async def test_a_request_hook_changes_all_three_parts(
    kind: str, act: Callable[..., Any], path: str, as_async: bool
) -> None:
    def hook(url: str, headers: Any, body: str) -> tuple[Any, Any, Any]:
        headers["X-Fix"] = "1"
        headers["Content-Type"] = "text/fixed"
        return url + "?fixed=1", headers, body + "&fixed=1"

    provider = Provider()
    await act(fixed(provider, kind, hook, as_async))
    (request,) = provider.sent_to(path)
    assert request.url.query == b"fixed=1"
    assert request.headers["x-fix"] == "1"
    assert request.headers.get_list("content-type") == ["text/fixed"]
    assert dict(parse_qsl(request.content.decode()))["fixed"] == "1"
    assert request.headers["authorization"].startswith("Basic ")


async def test_a_request_hook_may_return_octets() -> None:
    provider = Provider()
    client = fixed(provider, "access_token_request", lambda u, h, b: (u, h, b"raw"))
    await redeem(client)
    assert provider.sent_to("/token")[0].content == b"raw"


async def test_a_hook_is_for_its_kind_only() -> None:
    def hook(*_: Any) -> Any:
        raise AssertionError("not for this kind")

    provider = Provider()
    for kind in ("refresh_token_request", "refresh_token_response", "protected_request"):
        assert await redeem(fixed(provider, kind, hook))


@BOTH
async def test_a_protected_request_hook(as_async: bool) -> None:
    def hook(url: str, headers: Any, body: Any) -> tuple[Any, Any, Any]:
        headers["authorization"] = headers["authorization"].replace("Bearer", "OAuth")
        return url + "?fixed=1", headers, body

    client = fixed(Provider(), "protected_request", hook, as_async)
    token = {"access_token": "t"}
    response = await client.send_api_request("GET", "https://x.example/", token, False, None, {})
    assert response.request.headers["authorization"] == "OAuth t"
    assert response.request.url.query == b"fixed=1"
    response = await client.send_api_request("GET", "https://x.example/", None, True, None, {})
    assert "authorization" not in response.request.headers
    assert response.request.url.query == b""


# -- responses -----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("kind", "act"), [("access_token_response", redeem), ("refresh_token_response", refresh)]
)
async def test_a_response_hook_replaces_the_answer(
    kind: str, act: Callable[..., Any], as_async: bool
) -> None:
    def hook(response: httpx2.Response) -> httpx2.Response:
        return httpx2.Response(200, json={**response.json()["data"], "token_type": "Bearer"})

    provider = Provider()
    provider.at["/token"] = {"data": {"access_token": "inside"}}
    assert (await act(fixed(provider, kind, hook, as_async))).access_token == "inside"


async def test_a_response_hook_may_replace_json_itself_as_is_the_custom() -> None:
    def hook(response: httpx2.Response) -> httpx2.Response:
        response.raise_for_status()
        data = {**response.json(), "token_type": "Bearer"}
        vars(response)["json"] = lambda: data  # as `response.json = ...` does
        return response

    provider = Provider()
    provider.at["/token"] = {"access_token": "a"}
    assert (await redeem(fixed(provider, "access_token_response", hook))).access_token == "a"


def read_json(response: httpx2.Response) -> httpx2.Response:
    response.json()
    return response


def raise_for_status(response: httpx2.Response) -> httpx2.Response:
    return response.raise_for_status()


def do_nothing(response: httpx2.Response) -> httpx2.Response:
    return response


@pytest.mark.parametrize("hook", [read_json, raise_for_status, do_nothing])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx2.Response(200, html="<p>"), "token.html"),
        (httpx2.Response(200, content=b"[" * 100_000), "token.not_json"),
        (httpx2.Response(200, content=b""), "token.empty"),
        (httpx2.Response(200, content=b"\xff"), "token.not_json"),
        (httpx2.Response(500, html="<p>"), "token.server_error"),
        (httpx2.Response(302), "token.redirected"),
        (httpx2.Response(400, json={"message": "no"}), "token.status"),
        (httpx2.Response(400, json={"error": "invalid_grant"}), "token.invalid_grant"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_bad_answer_is_judged_as_it_would_be_without_the_hook(
    hook: Callable[..., Any], answer: httpx2.Response, code: str
) -> None:
    provider = Provider()
    provider.at["/token"] = answer
    with pytest.raises(TokenError) as caught:
        await redeem(fixed(provider, "access_token_response", hook))
    assert caught.value.code == code
    assert isinstance(caught.value, InvalidGrantError) is (code == "token.invalid_grant")


async def test_hooks_of_one_kind_run_in_order() -> None:
    def fix(session: Any) -> None:
        for letter in "abc":
            session.register_compliance_hook(
                "access_token_request", lambda u, h, b, x=letter: (u, h, b + x)
            )

    provider = Provider()
    await redeem(new_client(provider, compliance_fix=fix))
    assert provider.sent_to("/token")[0].content.endswith(b"abc")


async def test_compliance_fix_runs_once() -> None:
    calls: list[Any] = []
    client = new_client(compliance_fix=calls.append)
    for _ in range(3):
        await redeem(client)
    assert len(calls) == 1


async def test_an_unknown_kind_of_hook_is_an_error_that_names_the_kinds() -> None:
    with pytest.raises(ConfigurationError, match="access_token_response") as caught:
        await redeem(fixed(Provider(), "acces_token_response", do_nothing))
    assert caught.value.code == "configuration.unknown_hook"


# -- client authentication -----------------------------------------------------------------------


async def test_a_pair_of_name_and_function_authenticates() -> None:
    def sign(client: Any, method: str, url: str, headers: Any, body: str) -> tuple[Any, Any, Any]:
        assert (client.client_id, method) == ("client", "POST")
        return url, {**headers, "X-Signed": "1"}, body + "&signed=1"

    provider = Provider()
    client = new_client(
        provider, client_auth_methods=[("my_method", sign)], token_endpoint_auth_method="my_method"
    )
    await redeem(client)
    await revoke(client)
    for request in (*provider.sent_to("/token"), *provider.sent_to("/revoke")):
        assert request.headers["x-signed"] == "1"
        assert dict(parse_qsl(request.content.decode()))["signed"] == "1"
        assert "authorization" not in request.headers


async def test_an_object_authenticates() -> None:
    class Method:
        name = "my_method"

        def authenticate(self, request: HttpRequest) -> HttpRequest:
            return HttpRequest(request.method, request.url, {"x-mine": "1"}, request.body)

    provider = Provider()
    await redeem(
        new_client(provider, client_auth_methods=[Method()], token_endpoint_auth_method="my_method")
    )
    assert provider.sent_to("/token")[0].headers["x-mine"] == "1"


@pytest.mark.parametrize(
    ("announced", "in_form"), [(["client_secret_post"], True), (["client_secret_basic"], False)]
)
async def test_the_announced_method_is_used(announced: list[str], in_form: bool) -> None:
    provider = Provider(token_endpoint_auth_methods_supported=announced)
    await redeem(new_client(provider))
    assert ("client_secret" in provider.forms()[0]) is in_form
    assert ("authorization" in provider.sent_to("/token")[0].headers) is not in_form


async def test_a_client_without_a_secret_is_public() -> None:
    provider = Provider()
    await redeem(new_client(provider, client_secret=None))
    assert provider.forms()[0]["client_id"] == "client"
    assert "authorization" not in provider.sent_to("/token")[0].headers


@pytest.mark.parametrize(
    ("method", "rule"),
    [("my_method", "unsupported"), ("", "unsupported"), ("private_key_jwt", "key_missing")],
)
async def test_a_method_that_is_not_known_is_an_error(method: str, rule: str) -> None:
    provider = Provider()
    with pytest.raises(OAuthError) as caught:
        await redeem(new_client(provider, token_endpoint_auth_method=method))
    assert caught.value.code == f"client_auth.{rule}"
    assert provider.sent_to("/token") == []
