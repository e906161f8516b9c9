"""WebFinger: which provider an account belongs to (RFC 7033, OIDC Discovery section 2)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from starlette.responses import JSONResponse, Response

from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Model

__all__ = ["webfinger"]

_REL = "http://openid.net/specs/connect/1.0/issuer"


def webfinger(model: Model, request: ReceivedRequest) -> Response:
    """Say that every account and page of this host belongs to this provider."""
    resource = dict(parse_qsl(request.query)).get("resource", "")
    host = urlsplit(model.issuer).netloc
    if not (
        (resource.startswith("acct:") and resource.endswith(f"@{host}"))
        or urlsplit(resource)[:2] == ("https", host)
    ):
        raise Refusal("not_found", "this resource is not on this host", 404)
    sent = next(part for part in request.query.split("&") if part.startswith("resource="))
    if set(sent.partition("=")[2]) & set(":@/"):
        model.violations.append("webfinger.resource: it is not percent-encoded in the query")
    document = {"subject": resource, "links": [{"rel": _REL, "href": model.issuer}]}
    return JSONResponse(model.faults.alter("webfinger", document))
