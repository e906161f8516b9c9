"""The use cases of a client, without a web framework: straight lines over protocol and http."""

from reliant.client.oauth_client import OAuthClient
from reliant.client.settings import ClientSettings

__all__ = ["ClientSettings", "OAuthClient"]
