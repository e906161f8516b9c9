"""What comes back from a provider can be anything: each case its own code, one line in the log."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from reliant import OAuthError
from reliant.starlette import OAuth
from reliant.testing import REMOVE, Callback, FakeProvider, append, from_now, repeat
from tests.helpers.relying_party import (
    SITE,
    build_app,
    deliver,
    new_browser,
    new_oauth,
    sign_in,
    start,
)

MIB = 1024 * 1024
SECRETS = ("access_token", "refresh_token", "id_token")


class Recording(httpx2.AsyncBaseTransport):
    """Notes the tokens that come back."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self.inner = inner
        self.tokens: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self.inner.handle_async_request(request)
        body = await response.aread()
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            self.tokens += [v for k in SECRETS if isinstance(v := document.get(k), str)]
        response.stream = httpx2.ByteStream(body)
        return response


class Trial:
    """One login, and all that may be heard of its failure."""

    def __init__(self, store: str = "session", **options: Any) -> None:
        self.provider = FakeProvider()
        self.transport = Recording(self.provider.transport)
        self.options = options
        self.failures: list[OAuthError] = []
        self.login, self.callback = self._browser(store), self._browser(store)
        if store != "cookie":
            self.callback = self.login

    def _browser(self, store: str) -> TestClient:
        oauth = new_oauth(store)
        settings = self.provider.register_settings()
        settings["client_kwargs"] |= {"transport": self.transport, **self.options}
        oauth.register("op", **settings)
        app = build_app(oauth)
        app.add_exception_handler(OAuthError, self._handler(oauth))
        return new_browser(app)

    def _handler(self, oauth: OAuth) -> Callable[[Request, Exception], Any]:
        async def handler(request: Request, exc: Exception) -> Response:
            assert isinstance(exc, OAuthError)
            self.failures.append(exc)
            return await oauth.exception_handler(request, exc)

        return handler

    def begin(self, **params: str) -> Callback:
        return sign_in(self.provider, start(self.login, **params))

    def bring(self, callback: Callback, **changes: str) -> httpx2.Response:
        for cookie in self.login.cookies.jar:
            if self.callback is not self.login:
                self.callback.cookies.set(cookie.name, cookie.value or "")
        return deliver(self.callback, callback, **changes)

    def secrets(self, callback: Callback) -> set[str]:
        sent = [request for request in self.provider.requests if request.endpoint == "token"]
        verifiers = {request.params.get("code_verifier", "") for request in sent}
        given = {callback.params.get("code", ""), callback.params.get("state", "")}
        (client,) = self.provider.clients.values()
        return {
            secret
            for secret in {*self.transport.tokens, *verifiers, *given, client.client_secret or ""}
            if len(secret) > 8
        }


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, but for the lines of the browser, which knows its own address."""
    lines = [caplog.handler.format(record) for record in caplog.records]
    return "\n".join(line for line in lines if f" {SITE}/" not in line)


@contextmanager
def one_failure(
    trial: Trial, caplog: pytest.LogCaptureFixture, callback: Callback, code: str
) -> Iterator[list[httpx2.Response]]:
    """Exactly one failure with this code, one line in the log, and no secret anywhere."""
    responses: list[httpx2.Response] = []
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        yield responses
    (response,) = responses
    (failure,) = trial.failures
    assert failure.code == code, failure
    assert 400 <= response.status_code < 600
    assert response.json()["code"] == code
    lines = [record for record in caplog.records if record.name == "reliant"]
    assert [line.levelname for line in lines] == ["WARNING"]
    assert f"code={code} " in lines[0].getMessage()
    assert "\n" not in lines[0].getMessage()
    assert failure.client_name == "op"
    heard = "\n".join(
        [str(failure), repr(failure), repr(vars(failure)), *traceback.format_exception(failure),
         logged(caplog), response.text, repr(failure.args)]
    )  # fmt: skip
    for secret in trial.secrets(callback):
        assert secret not in heard


# -- one thing wrong at the provider -------------------------------------------------------------

Faults = dict[str, Any]

ANSWERS: dict[str, tuple[Faults, str]] = {
    "no-code": ({"callback.code": REMOVE}, "authorization.code_missing"),
    "empty-code": ({"callback.code": ""}, "authorization.code_missing"),
    "long-code": ({"callback.code": "c" * 9000}, "authorization.code_too_long"),
    "unknown-code": ({"callback.code": append("x")}, "token.invalid_grant"),
    "code-twice": ({"callback.code": repeat()}, "authorization.repeated_parameter"),
    "state-twice": ({"callback.state": repeat("x")}, "authorization.repeated_parameter"),
    "other-state": ({"callback.state": append("x")}, "state.unknown"),
    "no-state": ({"callback.state": REMOVE}, "state.missing"),
    "other-iss": ({"callback.iss": "https://evil.example"}, "authorization.iss_mismatch"),
    "iss-with-slash": ({"callback.iss": append("/")}, "authorization.iss_mismatch"),
    "no-iss": ({"callback.iss": REMOVE}, "authorization.iss_missing"),
    "denied": ({"callback.error": "access_denied"}, "authorization.denied"),
    "error": ({"callback.error": "temporarily_unavailable"}, "authorization.error"),
    "error-of-any-text": ({"callback.error": "\x1b[31m\n" + "x" * 5000}, "authorization.error"),
}

TOKENS: dict[str, tuple[Faults, str]] = {
    "html": ({"token.body": "<!doctype html><title>Sorry</title>"}, "token.html"),
    "204": ({"token.body": "", "token.status": 204}, "token.empty"),
    "empty": ({"token.body": ""}, "token.empty"),
    "list": ({"token.body": '[{"access_token": "a-long-token"}]'}, "token.not_object"),
    "string": ({"token.body": '"a"'}, "token.not_object"),
    "null": ({"token.body": "null"}, "token.null"),
    "form": (
        {
            "token.body": "access_token=a-long-token&token_type=bearer",
            "token.content_type": "application/x-www-form-urlencoded",
        },
        "token.form_encoded",
    ),
    "text": ({"token.body": "Internal error"}, "token.not_json"),
    "not-utf-8": ({"token.body": b"\xff\xfe\x00"}, "token.not_json"),
    "deep": ({"token.body": "[" * 200_000}, "token.not_json"),
    "200-empty-object": ({"token.body": "{}"}, "token.access_token"),
    "200-error": ({"token.body": '{"error": "bad_verification_code"}'}, "token.error"),
    "200-invalid-grant": ({"token.body": '{"error": "invalid_grant"}'}, "token.invalid_grant"),
    "error-of-no-text": ({"token.body": '{"error": {"code": 5}}'}, "token.error"),
    "400-message": (
        {"token.body": '{"message": "no"}', "token.status": 400},
        "token.status",
    ),
    "401-invalid-client": (
        {"token.body": '{"error": "invalid_client"}', "token.status": 401},
        "token.error",
    ),
    "302": ({"token.redirect": "https://evil.example/"}, "token.redirected"),
    "500": ({"token.status": 500}, "token.server_error"),
    "503-html": ({"token.body": "<html>", "token.status": 503}, "token.server_error"),
    "expires-in-words": ({"token.expires_in": "soon"}, "token.expires_in"),
    "expires-in-list": ({"token.expires_in": [3600]}, "token.expires_in"),
    "expires-in-infinity": (
        {"token.body": '{"access_token": "a", "token_type": "Bearer", "expires_in": 1e999}'},
        "token.expires_in",
    ),
    "expires-in-past": ({"token.expires_in": -1}, "token.expires_in"),
    "no-access-token": ({"token.access_token": REMOVE}, "token.access_token"),
    "access-token-of-no-text": ({"token.access_token": ["a"]}, "token.access_token"),
    "access-token-with-newline": ({"token.access_token": "a\r\nx: y"}, "token.access_token"),
    "no-token-type": ({"token.token_type": REMOVE}, "token.token_type_missing"),
    "other-token-type": ({"token.token_type": "mac"}, "token.token_type"),
    "refresh-token-of-no-text": ({"token.refresh_token": {}}, "token.refresh_token"),
    "id-token-null": ({"token.id_token": None}, "id_token.missing"),
    "no-id-token": ({"token.id_token": REMOVE}, "id_token.missing"),
    "id-token-number": ({"token.id_token": 5}, "token.id_token"),
    "id-token-garbage": ({"token.id_token": "garbage"}, "id_token.malformed"),
    "id-token-of-five-parts": ({"token.id_token": "a.b.c.d.e"}, "id_token.encrypted"),
    "2-MiB": ({"token.size": 2 * MIB}, "http.too_large"),
    "slow": ({"token.delay": 60}, "http.timeout"),
    "reset": ({"token.reset": True}, "http.connection"),
    "bad-gzip": ({"token.headers": {"content-encoding": "gzip"}}, "http.failed"),
}

KEYS: dict[str, tuple[Faults, str]] = {
    "503": ({"jwks.status": 503}, "jwks.status"),
    "302": ({"jwks.redirect": "https://evil.example/"}, "jwks.status"),
    "html": ({"jwks.body": "<html>"}, "jwks.html"),
    "list": ({"jwks.body": "[]"}, "jwks.not_object"),
    "null": ({"jwks.body": "null"}, "jwks.null"),
    "empty": ({"jwks.body": ""}, "jwks.empty"),
    "empty-object": ({"jwks.body": "{}"}, "jwks.not_a_set"),
    "keys-of-no-list": ({"jwks.keys": {"kty": "RSA"}}, "jwks.not_a_set"),
    "no-keys": ({"jwks.keys": []}, "id_token.key_unknown"),
    "odd-curve": (
        {"jwks.keys": [{"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA", "kid": "rs256-1"}]},
        "id_token.key_unknown",
    ),
    "keys-of-garbage": ({"jwks.keys": [None, 5, [], {"kty": 7}, {}]}, "id_token.key_unknown"),
    "too-many": ({"jwks.keys": [{"kty": "RSA"}] * 101}, "jwks.too_many"),
    "huge": ({"jwks.size": 2 * MIB}, "http.too_large"),
    "slow": ({"jwks.delay": 60}, "http.timeout"),
    "reset": ({"jwks.reset": True}, "http.connection"),
}

ID_TOKENS: dict[str, tuple[Faults, str]] = {
    "iss": ({"id_token.iss": append("/")}, "id_token.iss_mismatch"),
    "sub": ({"id_token.sub": REMOVE}, "id_token.sub_missing"),
    "aud": ({"id_token.aud": "other"}, "id_token.aud_mismatch"),
    "aud-of-two": ({"id_token.aud": ["fake-client", "other"]}, "id_token.azp_missing"),
    "azp": ({"id_token.azp": "other"}, "id_token.azp_mismatch"),
    "exp": ({"id_token.exp": from_now(-360)}, "id_token.expired"),
    "iat": ({"id_token.iat": from_now(360)}, "id_token.iat_future"),
    "nbf": ({"id_token.nbf": from_now(360)}, "id_token.nbf"),
    "nonce": ({"id_token.nonce": append("x")}, "id_token.nonce_mismatch"),
    "no-nonce": ({"id_token.nonce": REMOVE}, "id_token.nonce_missing"),
    "at_hash": ({"id_token.at_hash": append("x")}, "id_token.at_hash"),
    "none": ({"id_token.alg": "none"}, "id_token.alg"),
    "confusion": ({"id_token.alg": "HS256"}, "id_token.alg"),
    "unpublished-key": ({"id_token.key": "unpublished"}, "id_token.key_unknown"),
    "impostor": ({"id_token.key": "impostor"}, "id_token.signature"),
    "flipped": ({"id_token.signature": "flip"}, "id_token.signature"),
    "unsigned": ({"id_token.signature": "empty"}, "id_token.signature"),
}

METADATA: dict[str, tuple[Faults, str]] = {
    "404": ({"discovery.status": 404}, "metadata.status"),
    "301": (
        {"discovery.redirect": "https://evil.example/", "discovery.status": 301},
        "metadata.redirected",
    ),
    "500": ({"discovery.status": 500}, "metadata.status"),
    "html": ({"discovery.body": "<html>"}, "metadata.html"),
    "list": ({"discovery.body": "[]"}, "metadata.not_object"),
    "null": ({"discovery.body": "null"}, "metadata.null"),
    "wrong-issuer": ({"discovery.issuer": "https://evil.example"}, "metadata.issuer_mismatch"),
    "no-issuer": ({"discovery.issuer": REMOVE}, "metadata.issuer_missing"),
    "endpoint-of-no-text": ({"discovery.token_endpoint": 5}, "metadata.member"),
    "plain-http-endpoint": (
        {"discovery.token_endpoint": "http://op.example/token"}, "metadata.insecure",
    ),
    "no-token-endpoint": (
        {"discovery.token_endpoint": REMOVE}, "configuration.token_endpoint",
    ),
    "algorithms-of-no-list": (
        {"discovery.id_token_signing_alg_values_supported": "RS256"}, "metadata.member",
    ),
    "huge": ({"discovery.size": 2 * MIB}, "http.too_large"),
    "slow": ({"discovery.delay": 60}, "http.timeout"),
    "reset": ({"discovery.reset": True}, "http.connection"),
}  # fmt: skip

AFTER_THE_LOGIN_BEGAN = {
    f"{area}: {case}": judged
    for area, cases in {"token": TOKENS, "jwks": KEYS, "id_token": ID_TOKENS}.items()
    for case, judged in cases.items()
}


def _fault(trial: Trial, faults: Faults) -> None:
    for name, value in faults.items():
        trial.provider.fault(name, value)


# A form of the provider's has each field once; test_form_post sends one twice.
@pytest.mark.parametrize(
    ("case", "mode"),
    [(case, "query") for case in ANSWERS]
    + [(case, "form_post") for case in ANSWERS if not case.endswith("-twice")],
)
def test_a_wrong_answer_of_the_authorization_endpoint(
    case: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    faults, code = ANSWERS[case]
    trial = Trial("cookie" if mode == "form_post" else "session")
    _fault(trial, faults)
    callback = trial.begin(response_mode=mode)
    with one_failure(trial, caplog, callback, code) as responses:
        responses.append(trial.bring(callback))
    assert trial.provider.count("token") == (1 if code.startswith("token.") else 0)


@pytest.mark.parametrize("case", AFTER_THE_LOGIN_BEGAN)
def test_a_wrong_answer_behind_the_callback(case: str, caplog: pytest.LogCaptureFixture) -> None:
    faults, code = AFTER_THE_LOGIN_BEGAN[case]
    trial = Trial(timeout=0.1) if "slow" in case else Trial()
    callback = trial.begin()
    _fault(trial, faults)
    with one_failure(trial, caplog, callback, code) as responses:
        responses.append(trial.bring(callback))


@pytest.mark.parametrize("case", METADATA)
def test_wrong_metadata_at_the_callback(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another worker than the one that began the login asks for the metadata first now."""
    faults, code = METADATA[case]
    trial = Trial("cookie", timeout=0.1) if case == "slow" else Trial("cookie")
    callback = trial.begin()
    _fault(trial, faults)
    with one_failure(trial, caplog, callback, code) as responses:
        responses.append(trial.bring(callback))
    assert trial.provider.count("token") == 0


@pytest.mark.parametrize("case", METADATA.keys() - {"no-token-endpoint", "plain-http-endpoint"})
def test_wrong_metadata_at_the_login(case: str, caplog: pytest.LogCaptureFixture) -> None:
    faults, code = METADATA[case]
    trial = Trial(timeout=0.1) if case == "slow" else Trial()
    _fault(trial, faults)
    with one_failure(trial, caplog, Callback("https://testserver/"), code) as responses:
        responses.append(trial.login.get("/login/op"))
    trial.provider.heal()  # the failure was not kept
    assert trial.login.get("/login/op").status_code == 302


@pytest.mark.parametrize("store", ["session", "cookie"])
def test_the_twin_in_which_nothing_is_wrong(store: str, caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial(store, timeout=5)
    callback = trial.begin()
    with caplog.at_level(logging.DEBUG):
        assert trial.bring(callback).status_code == 200
    assert [record for record in caplog.records if record.name == "reliant"] == []
    for secret in trial.secrets(callback):
        assert secret not in logged(caplog)


def test_every_kind_of_failure_has_a_code_of_its_own() -> None:
    for cases in (TOKENS, KEYS, METADATA):
        for case, (_, code) in cases.items():
            area = code.partition(".")[0]
            assert area in {"token", "jwks", "id_token", "metadata", "http", "configuration"}, case
    codes = {code for cases in (ANSWERS, TOKENS, KEYS, ID_TOKENS, METADATA)
             for _, code in cases.values()}  # fmt: skip
    assert len(codes) > 50


# -- what comes first ----------------------------------------------------------------------------


def _code(response: httpx2.Response) -> str:
    return str(response.json().get("code"))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": "x", "error": "access_denied"}, "state.unknown"),
        ({"state": "x", "iss": "https://evil.example"}, "state.unknown"),
        ({"iss": "https://evil.example", "error": "access_denied"}, "authorization.iss_mismatch"),
        ({"error": "access_denied"}, "authorization.denied"),
        ({"code": "", "error": "access_denied"}, "authorization.denied"),
        ({"error": "", "code": ""}, "authorization.code_missing"),
    ],
    ids=["state-error", "state-iss", "iss-error", "error-code", "error", "code"],
)
def test_what_is_judged_first(changes: dict[str, str], code: str) -> None:
    trial = Trial()
    assert _code(trial.bring(trial.begin(), **changes)) == code
    assert trial.provider.count("token") == 0


def test_a_repeated_parameter_is_judged_before_all() -> None:
    trial = Trial()
    url = trial.begin().url
    for name in ("state", "code", "iss", "error", "anything"):
        response = trial.login.get(f"{url}&{name}=a&{name}=b")
        assert _code(response) == "authorization.repeated_parameter"
    assert trial.provider.count("token") == 0


def test_more_parameters_than_anyone_needs() -> None:
    trial = Trial()
    url = trial.begin().url + "".join(f"&p{number}=" for number in range(70))
    assert _code(trial.login.get(url)) == "authorization.too_many_parameters"


def test_unknown_parameters_are_ignored() -> None:
    trial = Trial()
    assert trial.bring(trial.begin(), session_state="abc", scope="x").status_code == 200


# -- secrets that come back in what the provider says --------------------------------------------


def test_an_error_that_echoes_secrets(caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial()
    callback = trial.begin()
    (client,) = trial.provider.clients.values()

    def echo(_: Any) -> str:
        sent = trial.provider.requests[-1].params
        return f"{client.client_secret} {sent['code']} {sent['code_verifier']} are wrong"

    trial.provider.fault("token.error", "invalid_client")
    trial.provider.fault("token.error_description", echo)
    with one_failure(trial, caplog, callback, "token.error") as responses:
        responses.append(trial.bring(callback))
    assert trial.failures[0].description == "[hidden] [hidden] [hidden] are wrong"


def test_an_error_with_line_breaks_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    trial = Trial()
    trial.provider.fault("callback.error", "server_error")
    trial.provider.fault("callback.error_description", "a\r\nWARNING:reliant:forged\x1b[0m\u2028b")
    callback = trial.begin()
    with one_failure(trial, caplog, callback, "authorization.error") as responses:
        responses.append(trial.bring(callback))


def test_a_failure_says_what_it_is_made_of() -> None:
    trial = Trial()
    trial.provider.fault("callback.error", "server_error")
    trial.provider.fault("callback.error_description", "Out of order")
    trial.provider.fault("callback.error_uri", "https://op.example/help")
    trial.bring(trial.begin())
    (failure,) = trial.failures
    assert failure.error == "server_error"
    assert failure.description == "Out of order"
    assert failure.uri == "https://op.example/help"
    assert failure.status_hint == 400
    assert str(failure) == "server_error: Out of order"


def test_the_cause_is_chained() -> None:
    trial = Trial()
    callback = trial.begin()
    trial.provider.fault("token.body", "gibberish")
    trial.bring(callback)
    assert isinstance(trial.failures[0].__cause__, ValueError)
