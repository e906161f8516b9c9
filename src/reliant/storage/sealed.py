"""Encrypted values for cookies: JWE ``dir`` with A256GCM, old keys accepted for rotation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reliant.protocol.sealing import Cipher, derive_key

__all__ = ["Sealer"]


class Sealer:
    """Seals JSON objects for one purpose; what was sealed for another does not open.

    ``secrets``: the application's secret keys, the newest first: it seals, all of them open.
    """

    def __init__(self, secrets: Sequence[str | bytes], purpose: str) -> None:
        self._ciphers = tuple(Cipher(derive_key(secret, purpose)) for secret in secrets)

    def seal(self, value: dict[str, Any]) -> str:
        """Encrypt ``value``; raises ``TypeError`` where it is not JSON."""
        return self.seal_text(json.dumps(value, separators=(",", ":")))

    def open(self, sealed: str) -> dict[str, Any] | None:
        """Decrypt what ``seal`` made; None for anything else."""
        text = self.open_text(sealed)
        value = None if text is None else json.loads(text)
        return value if isinstance(value, dict) else None

    def seal_text(self, text: str) -> str:
        """Encrypt ``text``."""
        return self._ciphers[0].seal(text.encode())

    def open_text(self, sealed: str) -> str | None:
        """Decrypt what ``seal_text`` made; None for anything else."""
        for cipher in self._ciphers:
            opened = cipher.open(sealed)
            if opened is not None:
                return opened.decode()
        return None
