"""What the suite can't see and the RP itself must show, by row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from reliant.testing import append
from tests.conformance.relying_party import LOGGED_OUT_URI, tags
from tests.conformance.scenarios import Run

__all__ = ["AFTERWARDS"]


async def _sent_by_body(run: Run) -> None:
    (request,) = [one for one in run.provider.requests if one.endpoint == "userinfo"]
    assert request.method == "POST"
    assert request.params["access_token"]


async def _sent_by_header(run: Run) -> None:
    (request,) = [one for one in run.provider.requests if one.endpoint == "userinfo"]
    assert request.headers["authorization"].startswith("Bearer ")
    assert "access_token" not in request.params


async def _secret_in_body(run: Run) -> None:
    for request in run.provider.requests:
        if request.endpoint == "token":
            assert {"client_id", "client_secret"} <= request.params.keys()


async def _with_assertion(run: Run) -> None:
    for request in run.provider.requests:
        if request.endpoint == "token":
            assert request.params["client_assertion"]
            assert "client_secret" not in request.params


async def _client_id_by_tls(run: Run) -> None:
    for request in run.provider.requests:
        if request.endpoint == "mtls_token":
            assert request.params["client_id"] == run.rp.client.client_id


async def _by_request_object(run: Run) -> None:
    (request,) = [one for one in run.provider.requests if one.endpoint == "authorize"]
    name = run.setup.settings["request_object"]
    assert {"value": "request", "uri": "request_uri"}[name] in request.params
    assert "redirect_uri" not in request.params


async def _scope_claims(run: Run) -> None:
    assert run.rp.claims is not None
    assert run.rp.claims.email == "alice@example.test"


async def _aggregated(run: Run) -> None:
    """Read, told where from, not believed, and not mixed with the provider's own claims."""
    claims = run.rp.claims
    assert claims is not None
    assert "address" not in claims
    found = await run.rp.client.resolve_claims(claims)
    assert found.keys() == {"address", "phone_number"}
    assert not any(claim.verified for claim in found.values())


async def _distributed(run: Run) -> None:
    found = await run.rp.client.resolve_claims(run.rp.claims)
    assert run.count("claims") == 1
    assert found["credit_score"].value == 650
    assert found["credit_score"].verified
    assert run.provider.violations == []


async def _signed_userinfo(run: Run) -> None:
    """The negative twins: each is refused for its own reason."""
    twins: dict[str, tuple[Any, str]] = {
        "userinfo.signature": ("xor", "userinfo.signature"),
        "userinfo.iss": (append("1"), "userinfo.iss_mismatch"),
        "userinfo.aud": (append("1"), "userinfo.aud_mismatch"),
        "userinfo.alg": ("ES256", "userinfo.alg"),
        "userinfo.sub": (append("1"), "userinfo.sub_mismatch"),
    }
    for name, (value, code) in twins.items():
        with run.provider.fault(name, value):
            await run.login()
        assert run.rp.error == code
        assert run.rp.claims is None


async def _good_twin(run: Run) -> None:
    """With a right signature the same login works: the algorithm was not the reason."""
    run.provider.heal("id_token.signature")
    await run.login()
    assert run.rp.token is not None


async def _accepts(run: Run) -> None:
    assert run.rp.errors == []
    assert run.rp.token is not None


async def _secret_never_used(run: Run) -> None:
    """Whether the odd key set is taken or not, a secret in it verifies nothing."""
    run.rp.errors.clear()
    with run.provider.fault("id_token.alg", "HS256"):
        await run.login()
    assert run.rp.error == "id_token.alg"


async def _not_our_logout(run: Run) -> None:
    assert run.page is not None
    assert 400 <= run.page.status_code < 500
    assert run.rp.came_back is None
    assert run.rp.error in ("state.unknown", "state.missing")


async def _came_back(run: Run) -> None:
    assert run.rp.came_back == {"post_logout_redirect_uri": LOGGED_OUT_URI}
    (call,) = run.provider.logout_calls
    assert call.response.status_code == 200
    (frame,) = run.logout_pages
    assert frame.status_code == 200
    assert [event.channel for event in run.rp.logouts] == ["back", "front"]


async def _signed_and_encrypted(run: Run) -> None:
    """The other kind: a signed answer inside."""
    run.provider.behaviour.userinfo_alg = "RS256"
    await run.login()
    assert run.rp.claims is not None
    assert run.rp.claims.aud == run.rp.client.client_id


async def _logout_token_encrypted(run: Run) -> None:
    (call,) = run.provider.logout_calls
    assert call.form["logout_token"].count(".") == 4
    assert call.response.status_code == 200


async def _replay_refused(run: Run) -> None:
    (again,) = run.logout_pages
    assert again.status_code == 400
    assert len(run.rp.logouts) == 1


async def _old_tokens_kept(run: Run) -> None:
    assert run.rp.token is not None
    assert run.rp.token["access_token"] != run.before_refresh["access_token"]
    for name in ("refresh_token", "id_token"):
        assert run.rp.token[name] == run.before_refresh[name]


async def _rotated(run: Run) -> None:
    assert run.rp.token is not None
    for name in ("access_token", "refresh_token", "id_token"):
        assert run.rp.token[name] != run.before_refresh[name]


async def _watched(run: Run) -> None:
    """The page asks the provider's frame with the right words, and only that frame."""
    assert run.page is not None
    (script,) = tags(run.page.text, "script")
    assert script["data-origin"] == "https://op.example"
    message = str(script["data-message"])
    client_id, _, state = message.rpartition(" ")
    assert client_id == run.rp.client.client_id
    assert len(state.split(".")) == 2


async def _managed(run: Run) -> None:
    """What the provider answered is what counts: it can be read, changed and deleted."""
    client = run.rp.client
    assert client.client_id in run.provider.clients
    assert (await client.read_registration()).client_id == client.client_id
    await client.update_registration({**run.setup.client_metadata(), "client_name": "Another name"})
    assert run.provider.clients[client.client_id].metadata["client_name"] == "Another name"
    await client.delete_registration()
    assert client.client_id not in run.provider.clients


AFTERWARDS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "logout.rp.init": _came_back,
    "logout.rp.state_absent": _not_our_logout,
    "logout.rp.state_other": _not_our_logout,
    "logout.session_management": _watched,
    "oidc.auth.client_secret_jwt": _with_assertion,
    "oidc.auth.client_secret_post": _secret_in_body,
    "oidc.auth.mtls_aliases": _client_id_by_tls,
    "oidc.auth.private_key_jwt": _with_assertion,
    "oidc.idt.encrypted": _logout_token_encrypted,
    "oidc.jwks.kid_absent_multiple": _accepts,
    "oidc.refresh.ok": _rotated,
    "oidc.reg.dynamic": _managed,
    "oidc.req.request_object_by_value": _by_request_object,
    "oidc.req.request_uri_none": _by_request_object,
    "oidc.req.request_uri_rs256": _by_request_object,
    "oidc.sig.es256_bad": _good_twin,
    "oidc.sig.hs256_bad": _good_twin,
    "oidc.ui.aggregated": _aggregated,
    "oidc.ui.bearer_body": _sent_by_body,
    "oidc.ui.bearer_header": _sent_by_header,
    "oidc.ui.distributed": _distributed,
    "oidc.ui.encrypted": _signed_and_encrypted,
    "oidc.ui.scope_claims": _scope_claims,
    "oidc.ui.signed_rs256": _signed_userinfo,
    "spec.fapi2_decoy_same_kid": _accepts,
    "spec.jwks_private_or_oct": _secret_never_used,
    "spec.logout_token_replay": _replay_refused,
    "spec.refresh_without_id_token": _old_tokens_kept,
}
