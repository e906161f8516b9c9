"""Texts in a store that whoever has the store alone can't read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reliant.protocol import base64url
from reliant.protocol.sealing import Cipher, Mac, derive_key
from reliant.protocol.values import random_token, s256, same
from reliant.storage.store import Store

__all__ = ["Safe"]

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class Safe:
    """Keeps texts under random secrets; each takes its secret and the application's to open.

    The store sees a digest of the secret and a text encrypted with a key made of both secrets, so
    that a copy of the store reads nothing, and who writes to it can't make what opens.
    ``secrets``: the application's secret keys, newest first; ``purpose``: what was kept for another
    does not open.
    """

    def __init__(self, store: Store, secrets: Sequence[str | bytes], purpose: str) -> None:
        self.store = store
        self._kind = purpose.split()[0]
        self._macs = [Mac(derive_key(secret, f"reliant {purpose}")) for secret in secrets]

    @staticmethod
    def new_secret() -> str:
        """A secret to keep a text under."""
        return random_token(32)

    def key(self, secret: str) -> str:
        """The store's key for what is kept under ``secret``."""
        return f"{self._kind}.{s256(secret)}"

    async def put(self, secret: str, text: str, seconds: float) -> None:
        """Keep a text for ``seconds``."""
        await self.store.set(self.key(secret), self._seal(secret, text), seconds)

    async def get(self, secret: str, *, renew: float | None = None) -> str | None:
        """What lies sealed under a secret, which can be any text; ``open`` opens it.

        ``renew``: for how many seconds from now it stays there.
        """
        if not _SECRET.fullmatch(secret):
            return None
        return await self.store.get(self.key(secret), renew=renew)

    def open(self, secret: str, sealed: str | None) -> str | None:
        """The text in what lay under a secret; None where nothing did, or nothing of ours."""
        for mac in self._macs if sealed is not None else ():
            opened = _cipher(mac, secret).open(sealed or "")
            if opened is not None:
                return opened.decode()
        return None

    async def take(self, secret: str) -> str | None:
        """What is kept under a secret, once."""
        if not _SECRET.fullmatch(secret):
            return None
        return self.open(secret, await self.store.getdel(self.key(secret)))

    async def add(self, secret: str, text: str, seconds: float) -> str | None:
        """Keep a text unless there is another; return it sealed, or None where there is."""
        new = self._seal(secret, text)
        return new if await self.store.add(self.key(secret), new, seconds) else None

    async def replace(
        self, secret: str, old: str, text: str, seconds: float, fence: int
    ) -> str | None:
        """Put a text where ``old`` still lies, as ``Store.replace`` does; None where not.

        ``old``: how it was sealed. Returns the new one sealed.
        """
        new = self._seal(secret, text)
        done = await self.store.replace(self.key(secret), old, new, seconds, fence)
        return new if done else None

    async def delete(self, secret: str) -> None:
        """Forget what is kept under a secret."""
        await self.store.delete(self.key(secret))

    def proof(self, *parts: str) -> str:
        """22 characters that nobody without the application's secret can make for these texts."""
        return _proof(self._macs[0], parts)[:22]

    def proves(self, proof: str, *parts: str) -> bool:
        """Tell whether ``proof`` was made for these texts, also with an older secret key."""
        return any(same(proof, _proof(mac, parts)[:22]) for mac in self._macs)

    def secret_for(self, *parts: str) -> str:
        """The secret that belongs to these texts, and that only the application can tell."""
        return _proof(self._macs[0], ("secret", *parts))

    def names(self, *parts: str) -> list[str]:
        """Keys of the store that stand for these texts and do not tell them; the first is new.

        There is one for each secret key, since what an older one named is still there.
        """
        return [f"{self._kind}.{_proof(mac, ('name', *parts))}" for mac in self._macs]

    def _seal(self, secret: str, text: str) -> str:
        return _cipher(self._macs[0], secret).seal(text.encode())


# HMAC as the key derivation of NIST SP 800-108, its key being one already: 1 µs instead of 15.
def _cipher(mac: Mac, secret: str) -> Cipher:
    return Cipher(mac.of(b"key\0" + secret.encode()))


def _proof(mac: Mac, parts: Sequence[str]) -> str:
    text = "\0".join(("proof", *parts)).encode("utf-8", "surrogatepass")
    return base64url.encode(mac.of(text)).decode()
