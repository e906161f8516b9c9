"""Reliant for Starlette and FastAPI: ``from reliant.starlette import OAuth``."""

from reliant.errors import OAuthError
from reliant.starlette.client import StarletteClient
from reliant.starlette.oauth import OAuth
from reliant.starlette.routes import LogoutEvent

__all__ = ["LogoutEvent", "OAuth", "OAuthError", "StarletteClient"]
