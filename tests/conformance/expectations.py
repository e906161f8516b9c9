"""What a run must have led to: the row's own columns, and what the RP itself must show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance.evidence import AFTERWARDS
from tests.conformance.scenarios import Run

__all__ = ["check"]

# Why the RP must have refused, by row: its error code, so that no case passes for another reason.
ERRORS = {
    "oidc.idt.iss_mismatch": "id_token.iss_mismatch",
    "oidc.idt.sub_missing": "id_token.sub_missing",
    "oidc.idt.aud_wrong": "id_token.aud_mismatch",
    "oidc.idt.aud_missing": "id_token.aud_missing",
    "oidc.idt.iat_missing": "id_token.iat_missing",
    "oidc.idt.nonce_wrong": "id_token.nonce_mismatch",
    "oidc.idt.nonce_unsolicited": "id_token.nonce_unasked",
    "oidc.idt.c_hash_wrong": "id_token.c_hash",
    "oidc.idt.c_hash_missing": "id_token.c_hash_missing",
    "oidc.sig.rs256_bad": "id_token.signature",
    "oidc.sig.es256_bad": "id_token.signature",
    "oidc.sig.hs256_bad": "id_token.signature",
    "oidc.sig.alg_none": "id_token.alg",
    "oidc.ui.sub_mismatch": "userinfo.sub_mismatch",
    "oidc.form_post.error": "authorization.error",
    "oidc.disc.issuer_mismatch": "metadata.issuer_mismatch",
    "oidc.refresh.iss_changed": "id_token.iss_mismatch",
    "oidc.refresh.sub_changed": "id_token.sub_mismatch",
    "spec.azp_wrong": "id_token.azp_mismatch",
    "spec.exp_past_core": "id_token.expired",
    "spec.nonce_missing_core": "id_token.nonce_missing",
    "spec.state_wrong_core": "state.unknown",
    "spec.iss_param_mixup_core": "authorization.iss_mismatch",
    "spec.hs256_with_public_key": "id_token.alg",
    "spec.userinfo_signed_bad": "userinfo.signature",
    "spec.webfinger_wrong_rel": "webfinger.no_issuer",
    "spec.refresh_aud_changed": "id_token.aud_mismatch",
    "spec.refresh_nonce_changed": "id_token.refreshed_nonce",
    "spec.max_age_auth_time": "id_token.auth_time",
}
# Why a logout token was refused: the code in the answer.
LOGOUT_ERRORS = {
    "logout.bc.alg_none": "logout_token.alg",
    "logout.bc.wrong_alg": "logout_token.alg",
    "logout.bc.no_event": "logout_token.events",
    "logout.bc.wrong_event": "logout_token.events",
    "logout.bc.with_nonce": "logout_token.nonce",
    "logout.bc.wrong_aud": "logout_token.aud",
    "logout.bc.wrong_iss": "logout_token.iss",
    "spec.logout_token_no_sub_no_sid": "logout_token.who",
    "spec.logout_token_expired": "logout_token.exp",
}
# The suite wants max_age=0 and prompt=none in this one module, and in no other.
ALLOWED_VIOLATIONS = {"oidc.form_post.error": "authorize.max_age"}
# Rows that leave both ways open, and the one Reliant takes.
REJECTS_BY_POLICY = ("oidc.sig.alg_none",)


async def check(run: Run) -> None:
    """Check everything the row says."""
    row = run.setup.case.row
    allowed = ALLOWED_VIOLATIONS.get(row["id"], "none")
    assert [one for one in run.provider.violations if not one.startswith(allowed)] == []
    if "response_required" in row:
        _check_logout_answer(run, row["response_required"])
    elif row["expected"] == "reject" or row["id"] in REJECTS_BY_POLICY:
        assert run.rp.error == ERRORS[row["id"]]
        _check_refused(run)
    elif row["id"] not in AFTERWARDS or row["expected"] in ("accept", "conform"):
        assert run.rp.errors == []
        _check_logged_in(run)
    for name in row.get("must_call", ()):
        _CALLED[name](run)
    forbidden = set(row["must_not_call"])
    if "id_token" in run.setup.case.response_type:
        forbidden |= set(row.get("must_not_call_frontchannel_idtoken", ()))
    for name in forbidden:
        _NOT_CALLED.get(name, lambda run, name=name: _never(run, name))(run)
    if row["id"] in AFTERWARDS:
        await AFTERWARDS[row["id"]](run)


def _check_refused(run: Run) -> None:
    """Nobody is logged in, and nothing that was refused is kept."""
    rp = run.rp
    if run.setup.scenario == "refresh":
        assert rp.token == run.before_refresh
    elif rp.error is not None and rp.error.startswith("userinfo"):
        assert rp.claims is None
    else:
        assert rp.token is None
        assert rp.claims is None
    if run.page is not None and run.setup.scenario != "refresh":
        assert 400 <= run.page.status_code < 600
        assert run.page.headers["cache-control"] == "no-store"


def _check_logged_in(run: Run) -> None:
    if run.setup.scenario in _LOGGED_OUT:
        assert run.rp.token is None
        return
    assert run.rp.token is not None
    assert run.rp.token["userinfo"]["sub"] == "alice"
    assert run.rp.claims is not None
    assert run.rp.claims.sub == "alice"


_LOGGED_OUT = ("logout", "back_channel", "front_channel", "front_channel_from_provider",
               "replay", "session_management")  # fmt: skip


def _check_logout_answer(run: Run, required: dict[str, Any]) -> None:
    (call,) = run.provider.logout_calls
    assert call.response.status_code == required["status"], call.response.text
    assert "no-store" in call.response.headers["cache-control"]
    if required["status"] == 200:
        (event,) = run.rp.logouts
        assert (event.channel, event.iss, event.sub) == ("back", run.provider.issuer, "alice")
    else:
        assert call.response.json()["code"] == LOGOUT_ERRORS[run.setup.case.row["id"]]
        assert run.rp.logouts == []


# -- must_call and must_not_call ------------------------------------------------------------------


def _has_code(run: Run) -> bool:
    return "code" in run.setup.case.response_type.split()


def _called(endpoint: str, times: int = 1) -> Callable[[Run], None]:
    def expectation(run: Run) -> None:
        assert run.count(endpoint) >= times, run.endpoints()

    return expectation


def _if_code(endpoint: str, times: int = 1) -> Callable[[Run], None]:
    """The token endpoint, and UserInfo: an access token comes with a code alone, here."""

    def expectation(run: Run) -> None:
        assert run.count(endpoint) == (times if _has_code(run) else 0), run.endpoints()

    return expectation


def _jwks_if_id_token_only(run: Run) -> None:
    assert _has_code(run) or run.count("jwks") >= 1


def _jwks_after_token(run: Run) -> None:
    calls = run.endpoints()
    assert calls.index("jwks") < calls.index("authorize")  # the keys were there already
    assert calls[calls.index("login") :].count("jwks") == 1


def _token_refresh(run: Run) -> None:
    (request,) = [one for one in run.provider.requests if one.endpoint == "token"]
    assert request.params["grant_type"] == "refresh_token"


def _end_session_with_state(run: Run) -> None:
    (request,) = [one for one in run.provider.requests if one.endpoint == "end_session"]
    assert request.params["state"]


def _frame_rendered(run: Run) -> None:
    (page,) = run.logout_pages
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert "frame-ancestors https://op.example" in page.headers["content-security-policy"]
    (event,) = run.rp.logouts
    assert (event.channel, event.iss) == ("front", run.provider.issuer)
    assert event.sid


def _in_the_browser(run: Run) -> None:
    """Messages between frames need scripts that run: tests/browser looks at these."""


_CALLED: dict[str, Callable[[Run], None]] = {
    "authorize": _called("authorize"),
    "check_session_iframe": _called("check_session"),
    "claims": lambda run: None,  # _distributed, below
    "discovery": _called("discovery"),
    "end_session": _called("end_session"),
    "end_session_with_state": _end_session_with_state,
    "frontchannel_logout_uri_rendered": _frame_rendered,
    "jwks": _called("jwks"),
    "jwks_after_token": _jwks_after_token,
    "jwks_if_id_token_only": _jwks_if_id_token_only,
    "jwks_twice": _called("jwks", 2),
    "mtls_alias_token": _if_code("mtls_token"),
    "postMessage_after_logout": _in_the_browser,
    "postMessage_before_logout": _in_the_browser,
    "register": _called("register"),
    "token": _called("token"),
    "token_if_code": _if_code("token"),
    "token_refresh": _token_refresh,
    "userinfo": lambda run: _user_asked(run),
    "userinfo_if_access_token": _if_code("userinfo"),
    "userinfo_twice_if_access_token": _if_code("userinfo", 2),
    "userinfo_with_new_token": _called("userinfo"),
    "webfinger": _called("webfinger"),
}


def _user_asked(run: Run) -> None:
    assert run.count("userinfo") + run.count("mtls_userinfo") >= 1, run.endpoints()


def _never(run: Run, endpoint: str) -> None:
    assert run.count(endpoint) == 0, run.endpoints()


def _discovery_first(run: Run) -> None:
    assert run.endpoints()[0] == "discovery"


def _jwks_before_userinfo(run: Run) -> None:
    calls = run.endpoints()
    assert "userinfo" not in calls or calls.index("jwks") < calls.index("userinfo")


def _initiated(run: Run) -> None:
    assert run.count("authorize") == 1


_NOT_CALLED: dict[str, Callable[[Run], None]] = {
    "anything_before_discovery": _discovery_first,
    "authorize_before_initiation": _initiated,
    "plain_token": lambda run: _never(run, "token"),
    "token_when_front_channel_id_token": lambda run: (
        _never(run, "token") if "id_token" in run.setup.case.response_type else None
    ),
    "userinfo_before_jwks": _jwks_before_userinfo,
}
