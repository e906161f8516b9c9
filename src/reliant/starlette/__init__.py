"""Reliant for Starlette and FastAPI: ``from reliant.starlette import OAuth``."""

from reliant.errors import OAuthError
from reliant.starlette.client import StarletteClient
from reliant.starlette.logout_event import LogoutEvent
from reliant.starlette.oauth import OAuth

__all__ = ["LogoutEvent", "OAuth", "OAuthError", "StarletteClient"]
