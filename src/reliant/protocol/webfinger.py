"""Finding the issuer of an account (OIDC Discovery section 2, RFC 7033)."""

from __future__ import annotations

import re
from urllib.parse import quote

from reliant.errors import MetadataError
from reliant.protocol.messages import HttpRequest, HttpResponse, json_object, text
from reliant.protocol.values import origin_of

__all__ = ["build_webfinger_request", "normalize_identifier", "parse_webfinger_response"]

REL = "http://openid.net/specs/connect/1.0/issuer"
MAX_LINKS = 100
_HOST = r"[\w-]+(\.[\w-]+)*(:[0-9]{1,5})?"


def normalize_identifier(identifier: str) -> tuple[str, str]:
    """Turn what a person typed into a resource and the host to ask (section 2.1.2).

    ``identifier``: an e-mail-like account, an ``acct:`` URI, a host, or an https URL. Returns
    ``resource`` and ``host``. Raises ``MetadataError`` with ``webfinger.identifier``.
    """
    typed = identifier.strip()
    if typed.startswith("acct:") or ("@" in typed and "://" not in typed and "/" not in typed):
        resource = typed if typed.startswith("acct:") else f"acct:{typed}"
        host = resource.rpartition("@")[2]
    else:
        resource = (typed if "://" in typed else f"https://{typed}").partition("#")[0]
        scheme, _, rest = resource.partition("://")
        host = re.split(r"[/?]", rest, maxsplit=1)[0] if scheme == "https" else ""
    if not re.fullmatch(_HOST, host):
        raise _error("identifier", "This is neither an account such as you@example.org nor an "
                     "https address.")  # fmt: skip
    return resource, host


def build_webfinger_request(resource: str, host: str) -> HttpRequest:
    """The request that asks ``host`` for the issuer of ``resource`` (section 2.1.1)."""
    query = f"resource={quote(resource, safe='', errors='replace')}&rel={quote(REL, safe='')}"
    return HttpRequest(
        "GET",
        f"https://{host}/.well-known/webfinger?{query}",
        {"accept": "application/jrd+json, application/json"},
    )


def parse_webfinger_response(response: HttpResponse) -> str:
    """Judge the answer and return the issuer.

    Raises ``MetadataError``: ``webfinger.status``, ``.not_json`` and its kin, ``.no_issuer``,
    ``.issuer``.
    """
    if response.status != 200:
        raise _error("status", f"The account's site answers with status {response.status}.")
    links = json_object(response, MetadataError, "webfinger").get("links")
    for link in links[:MAX_LINKS] if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == REL:
            href = text(link.get("href")) or ""
            origin = origin_of(href)
            if origin is None or origin[0] != "https" or set("?#") & set(href):
                raise _error("issuer", "The issuer that the account's site names is not an https "
                             "address without query and fragment.")  # fmt: skip
            return href
    raise _error("no_issuer", "The account's site names no OpenID provider for it.")


def _error(rule: str, description: str) -> MetadataError:
    return MetadataError(description=description, code=f"webfinger.{rule}")
