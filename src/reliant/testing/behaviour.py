"""How the provider behaves when nothing is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Behaviour"]


@dataclass
class Behaviour:
    """How the provider behaves when nothing is wrong; a test may change it at any time.

    ``response_iss``: send and announce ``iss`` in authorization responses (RFC 9207).
    ``announce_pkce``: announce S256; a challenge is checked either way.
    ``refresh_tokens``: issue them. ``rotate_refresh_tokens``: issue a new one at every use.
    ``refresh_id_token``: a refresh response has a new ID Token; ``refresh_nonce``: with the nonce.
    ``claims_in_id_token``: the ID Token holds the claims of the requested scopes as well.
    ``auth_time``, ``sid``: the ID Token has them always; else auth_time only after a ``max_age``.
    The lifetimes are in seconds; ``access_token_lifetime`` None leaves out ``expires_in``.

    ``response_types``: those announced and served, the words in any order; ``s_hash``: the ID
    Token of the front channel has it. ``nonce_required``: whatever the response type.
    ``auth_methods``: how clients may authenticate. ``id_token_algs``: announced for ID Tokens,
    where that is not just the one that signs. ``userinfo_alg``: signs UserInfo answers.
    ``request_objects``: "value", "uri" or both.
    ``registration``: clients may register themselves; ``initial_access_token``: with this only.
    ``session_management``: ``session_state`` and the check_session_iframe page.
    ``mtls_aliases``: token and UserInfo endpoint have aliases for clients with certificates.
    ``aggregated_claims``, ``distributed_claims``: claims that UserInfo refers to.
    ``jwks_suffix``: stands at the end of ``jwks_uri``. ``odd_strings``: identifiers, secrets and
    refresh tokens hold punctuation. ``mixed_keys``, at the start only: the key set has two keys of
    a kind, foreign curves and encryption keys, none of the signing keys with "alg".
    """

    response_iss: bool = True
    announce_pkce: bool = True
    refresh_tokens: bool = True
    rotate_refresh_tokens: bool = True
    refresh_id_token: bool = True
    refresh_nonce: bool = False
    claims_in_id_token: bool = False
    auth_time: bool = True
    sid: bool = True
    code_lifetime: int = 60
    id_token_lifetime: int = 300
    access_token_lifetime: int | None = 3600
    response_types: tuple[str, ...] = ("code",)
    s_hash: bool = False
    nonce_required: bool = False
    auth_methods: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "none")
    id_token_algs: tuple[str, ...] | None = None
    userinfo_alg: str | None = None
    request_objects: tuple[str, ...] = ()
    registration: bool = False
    initial_access_token: str | None = None
    session_management: bool = False
    mtls_aliases: bool = False
    aggregated_claims: Mapping[str, Any] = field(default_factory=dict)
    distributed_claims: Mapping[str, Any] = field(default_factory=dict)
    jwks_suffix: str = ""
    odd_strings: bool = False
    mixed_keys: bool = False

    @classmethod
    def certification(cls, **changes: Any) -> Behaviour:
        """The OpenID Foundation's conformance suite as a provider: as little as the rules allow.

        ``changes``: members of ``Behaviour`` that are to differ.
        """
        suite: dict[str, Any] = {
            "response_iss": False,
            "announce_pkce": False,
            "refresh_tokens": False,
            "refresh_nonce": True,
            "auth_time": False,
            "sid": False,
            "access_token_lifetime": None,
            "response_types": (
                "code",
                "id_token code",
                "token code id_token",
                "id_token",
                "token id_token",
                "token code",
                "token",
            ),
            "auth_methods": ("client_secret_basic",),
            "id_token_algs": ("none", *_JWS_ALGORITHMS),
            "odd_strings": True,
            "mixed_keys": True,
        }
        return cls(**suite | changes)


_JWS_ALGORITHMS = (
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "ES256K", "EdDSA",
)  # fmt: skip
