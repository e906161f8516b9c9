"""Login sessions for Starlette and FastAPI: ``from reliant.login import Login, RedisStore``."""

from reliant.errors import LoginRequired, StoreError
from reliant.login.http import SessionAuth
from reliant.login.login import Login
from reliant.login.required import Required
from reliant.login.session import Session, User
from reliant.login.vault import Vault
from reliant.storage.memory import MemoryStore
from reliant.storage.redis import RedisStore
from reliant.storage.store import Claim, Store

__all__ = [
    "Claim",
    "Login",
    "LoginRequired",
    "MemoryStore",
    "RedisStore",
    "Required",
    "Session",
    "SessionAuth",
    "Store",
    "StoreError",
    "User",
    "Vault",
]
