"""The authorization request and its answer: order of judgement, iss, PKCE, and who sets what."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from reliant.errors import AuthorizationError, ConfigurationError
from reliant.protocol.authorization import (
    AuthorizationResponse,
    authorization_parameters,
    build_authorization_url,
    new_login,
    parse_authorization_response,
    scopes_of,
)
from reliant.protocol.transaction import LoginTransaction, LogoutTransaction, new_state
from reliant.protocol.values import s256

ISSUER = "https://op.example"
ENDPOINT = "https://op.example/authorize"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
LOGIN = LoginTransaction(code_verifier=VERIFIER, nonce="n", redirect_uri="https://rp/cb?x=1")


def url_of(endpoint: str = ENDPOINT, login: LoginTransaction = LOGIN, **params: Any) -> str:
    return build_authorization_url(
        endpoint, authorization_parameters("client", "the-state", login, params)
    )


def query_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(pairs) == len(dict(pairs)), "a parameter is repeated"
    return dict(pairs)


# -- the request ---------------------------------------------------------------------------------


def test_the_parameters_of_a_login() -> None:
    url = url_of(scope="openid email", prompt="login")
    assert url.startswith(ENDPOINT + "?")
    assert query_of(url) == {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": "https://rp/cb?x=1",
        "scope": "openid email",
        "state": "the-state",
        "nonce": "n",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "prompt": "login",
    }


def test_the_s256_challenge_is_that_of_rfc_7636_appendix_b() -> None:
    assert s256(VERIFIER) == CHALLENGE


def test_what_is_not_known_is_not_sent() -> None:
    query = query_of(url_of(login=LoginTransaction(VERIFIER), prompt=None))
    assert not {"nonce", "redirect_uri", "scope", "prompt"} & query.keys()


def test_a_space_is_percent_20() -> None:
    """Some providers read + as a plus sign."""
    url = url_of(scope="openid email", ui_locales="de en")
    assert "scope=openid%20email" in url
    assert "+" not in url


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        ("https://op/a?tenant=t", "https://op/a?tenant=t&response_type=code&"),
        ("https://op/a?", "https://op/a?response_type=code&"),
        ("https://op/a?tenant=t&", "https://op/a?tenant=t&response_type=code&"),
        ("https://op", "https://op?response_type=code&"),
    ],
)
def test_the_query_of_the_endpoint_is_kept(endpoint: str, start: str) -> None:
    assert url_of(endpoint).startswith(start)


def test_a_fragment_stays_behind_the_query() -> None:
    url = urlsplit(url_of("https://op/a#top"))
    assert url.fragment == "top"
    assert "response_type=code" in url.query


@pytest.mark.parametrize(
    "name",
    [
        "state", "nonce", "client_id", "redirect_uri", "code_challenge", "code_challenge_method",
        "code_verifier",
    ],
)  # fmt: skip
def test_a_parameter_of_the_logins_security_is_not_the_apps_to_set(name: str) -> None:
    mine: dict[str, Any] = {name: "mine"}
    assert query_of(url_of(**mine)) == query_of(url_of())


def test_the_verifier_is_not_sent() -> None:
    assert VERIFIER not in url_of(code_verifier=VERIFIER)


@pytest.mark.parametrize("value", ["token", "id_token", "code id_token", "none", "", "CODE", None])
def test_a_response_type_other_than_code_is_a_configuration_error(value: Any) -> None:
    """Those with an ID Token come with openid only."""
    with pytest.raises(ConfigurationError) as caught:
        new_login(None, {"response_type": value})
    assert caught.value.code == "configuration.response_type"
    # It is remembered with the login, so that nothing else can be asked for than was judged.
    assert query_of(url_of(response_type=value))["response_type"] == "code"


def test_response_type_code_may_be_said() -> None:
    assert query_of(url_of(response_type="code"))["response_type"] == "code"
    assert new_login(None, {"response_type": "code"})[1].response_type is None


# -- a new login ---------------------------------------------------------------------------------


def test_every_login_is_another() -> None:
    (state, login), (other_state, other) = (new_login(None, {"scope": "openid"}) for _ in "12")
    assert state != other_state
    assert login.nonce != other.nonce
    assert login.code_verifier != other.code_verifier
    assert len({state, login.nonce, login.code_verifier}) == 3


def test_what_is_drawn_is_long_enough() -> None:
    """160 bits for state and nonce (RFC 6749 section 10.10), 256 for the verifier (RFC 7636)."""
    state, login = new_login(None, {"scope": "openid"})
    assert len(state) >= 27
    assert login.nonce is not None
    assert len(login.nonce) >= 27
    assert len(login.code_verifier) == 43


@pytest.mark.parametrize("scope", ["openid", "email openid", ["openid", "email"], ("openid",)])
def test_a_nonce_goes_with_openid(scope: Any) -> None:
    assert new_login(None, {"scope": scope})[1].nonce


@pytest.mark.parametrize("scope", [None, "", "email", "openid2", "OpenID", [], ["email"]])
def test_no_nonce_without_openid(scope: Any) -> None:
    assert new_login(None, {"scope": scope})[1].nonce is None
    assert new_login(None, {"scope": scope, "nonce": "mine"})[1].nonce == "mine"


def test_the_apps_own_state_nonce_and_verifier_are_used() -> None:
    own = {"scope": "openid", "state": "s", "nonce": "n", "code_verifier": "v" * 43}
    state, login = new_login("https://rp/cb", own)
    assert (state, login.nonce, login.code_verifier) == ("s", "n", "v" * 43)
    assert login.redirect_uri == "https://rp/cb"


@pytest.mark.parametrize(
    "verifier", ["v" * 42, "v" * 129, "v" * 42 + " ", "é" * 43, "v" * 43 + "\n"]
)
def test_a_verifier_outside_rfc_7636_is_a_configuration_error(verifier: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        new_login(None, {"code_verifier": verifier})
    assert caught.value.code == "configuration.code_verifier"


def test_a_verifier_of_128_characters_is_fine() -> None:
    assert new_login(None, {"code_verifier": "-._~" * 32})[1].code_verifier == "-._~" * 32


@pytest.mark.parametrize(("given", "kept"), [(None, None), (0, 0), (300, 300), ("300", 300)])
def test_max_age_is_remembered(given: Any, kept: int | None) -> None:
    assert new_login(None, {"max_age": given})[1].max_age == kept


@pytest.mark.parametrize("given", ["soon", -1, "-1", "", [], True, float("nan"), 10**400])
def test_a_max_age_that_is_no_number_of_seconds_is_a_configuration_error(given: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        new_login(None, {"max_age": given})
    assert caught.value.code == "configuration.max_age"


@pytest.mark.parametrize("given", ["gold silver", ["gold", "silver"]])
def test_acr_values_are_remembered(given: Any) -> None:
    assert new_login(None, {"acr_values": given})[1].acr_values == "gold silver"
    assert new_login(None, {})[1].acr_values is None


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, []),
        ("", []),
        ("openid", ["openid"]),
        (" openid   email ", ["openid", "email"]),
        (["openid", "email"], ["openid", "email"]),
        (("openid",), ["openid"]),
    ],
)
def test_scopes(scope: Any, scopes: list[str]) -> None:
    assert scopes_of(scope) == scopes


# -- transactions --------------------------------------------------------------------------------


def test_a_login_survives_its_record() -> None:
    login = LoginTransaction(VERIFIER, "n", "https://rp/cb", "/account", {"a": [1]}, 300, "gold")
    assert LoginTransaction.from_record(login.record()) == login
    assert LoginTransaction(VERIFIER).record() == {"code_verifier": VERIFIER}


def test_max_age_0_survives_its_record() -> None:
    login = LoginTransaction(VERIFIER, max_age=0)
    assert LoginTransaction.from_record(login.record()) == login


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"nonce": "n"},
        {"code_verifier": None},
        {"code_verifier": 5},
        {"code_verifier": VERIFIER, "nonce": 5},
        {"code_verifier": VERIFIER, "return_to": ["/"]},
        {"post_logout_redirect_uri": "https://rp/"},
    ],
)
def test_a_record_of_something_else_is_no_login(record: dict[str, Any]) -> None:
    assert LoginTransaction.from_record(record) is None


def test_a_logout_survives_its_record_and_is_no_login() -> None:
    logout = LogoutTransaction("https://rp/bye")
    assert LogoutTransaction.from_record(logout.record()) == logout
    assert LoginTransaction.from_record(logout.record()) is None
    assert LogoutTransaction.from_record(LOGIN.record()) is None
    assert LogoutTransaction.from_record({"post_logout_redirect_uri": 5}) is None


def test_a_login_shows_no_secret() -> None:
    assert repr(LOGIN) == "<LoginTransaction openid=True>"


def test_a_state_fits_a_url_and_a_cookie_name() -> None:
    assert all(c.isalnum() or c in "-_" for c in new_state())


# -- the answer ----------------------------------------------------------------------------------


def judge(issuer: str | None = ISSUER, promised: bool = False, **parameters: str) -> str:
    """The code of the answer, which holds nothing else that counts."""
    answer = parse_authorization_response(parameters, issuer, promised, "code")
    assert answer.code is not None
    session_state = parameters.get("session_state")
    assert answer == AuthorizationResponse(answer.code, None, session_state)
    return answer.code


def refused(
    issuer: str | None = ISSUER, promised: bool = False, **parameters: str
) -> AuthorizationError:
    with pytest.raises(AuthorizationError) as caught:
        judge(issuer, promised, **parameters)
    return caught.value


def test_the_code_of_a_good_answer() -> None:
    assert judge(code="c", state="s") == "c"
    assert judge(code="c", iss=ISSUER) == "c"
    assert judge(code="c", iss=ISSUER, promised=True) == "c"
    assert judge(code="c", session_state="x", scope="openid") == "c"
    assert judge(code="c", id_token="nobody-asked-for") == "c"


@pytest.mark.parametrize("iss", ["https://evil.example", ISSUER + "/", ISSUER.upper(), "\ud800"])
@pytest.mark.parametrize("promised", [True, False])
def test_another_iss_is_refused_promised_or_not(iss: str, promised: bool) -> None:
    assert refused(promised=promised, code="c", iss=iss).code == "authorization.iss_mismatch"


def test_a_promised_iss_that_is_missing_is_refused() -> None:
    assert refused(promised=True, code="c").code == "authorization.iss_missing"


def test_iss_goes_unjudged_where_no_issuer_is_known() -> None:
    assert judge(issuer=None, code="c", iss="https://any.example") == "c"


def test_iss_is_judged_before_error_and_error_before_code() -> None:
    """RFC 9207 section 2.4: an error of another issuer's is not shown either."""
    everything: dict[str, Any] = {
        "iss": "https://evil.example",
        "error": "access_denied",
        "code": "c",
    }
    assert refused(**everything).code == "authorization.iss_mismatch"
    assert refused(promised=True, error="access_denied").code == "authorization.iss_missing"
    assert refused(iss=ISSUER, error="access_denied", code="c").code == "authorization.denied"
    assert judge(iss=ISSUER, code="c") == "c"


def test_the_providers_error_is_passed_on() -> None:
    error = refused(
        error="temporarily_unavailable", error_description="Back soon", error_uri="https://op/e"
    )
    assert error.code == "authorization.error"
    assert (error.error, error.description) == ("temporarily_unavailable", "Back soon")
    assert error.uri == "https://op/e"


def test_a_refusal_by_the_user_has_a_code_of_its_own() -> None:
    assert refused(error="access_denied").code == "authorization.denied"
    assert refused(error="access_denied2").code == "authorization.error"


def test_an_error_fits_one_line_of_a_log() -> None:
    error = refused(error="a\nb" + "x" * 200, error_description="c\r\nd" + "y" * 5000)
    assert error.error.startswith("a bx")
    assert len(error.error) == 100
    assert str(error).isprintable()
    assert len(error.description) == 300


def test_no_code_and_no_error() -> None:
    error = refused(state="s")
    assert error.code == "authorization.code_missing"
    assert 'Missing "code" parameter' in error.description


def test_a_code_of_8192_characters_is_taken_and_a_longer_one_is_not() -> None:
    assert judge(code="c" * 8192) == "c" * 8192
    error = refused(code="c" * 8193)
    assert error.code == "authorization.code_too_long"
    assert "ccc" not in str(error)
