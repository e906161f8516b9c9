"""Set-Cookie values for the library's own cookies, all of them ``__Host-`` cookies."""

from __future__ import annotations

__all__ = ["clear_cookie", "host_cookie"]


def host_cookie(name: str, value: str, max_age: int, *, cross_site: bool) -> str:
    """A cookie for this host alone, over https alone, out of reach of scripts.

    ``max_age``: seconds; ``cross_site``: whether it must come along with a POST from another site
    (RFC 6265bis section 5.6.7).
    """
    same_site = "None" if cross_site else "Lax"
    return f"{name}={value}; Max-Age={max_age}; Path=/; Secure; HttpOnly; SameSite={same_site}"


def clear_cookie(name: str) -> str:
    """The value that makes a browser forget a ``__Host-`` cookie."""
    return f"{name}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
