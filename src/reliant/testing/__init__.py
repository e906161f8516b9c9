"""A provider for your tests: ``FakeProvider`` signs users in without a browser or a network.

    provider = FakeProvider()
    oauth.register("op", **provider.register_settings())
    callback = await provider.sign_in(authorization_url, user="alice")

It can also get things wrong on purpose; ``FAULTS`` lists how.
"""

from reliant.testing.behaviour import Behaviour
from reliant.testing.browser import Browser, Callback, ProviderRefused
from reliant.testing.faults import FAULTS, REMOVE, append, extra, from_now, repeat
from reliant.testing.messages import ReceivedRequest
from reliant.testing.model import Client, LogoutCall
from reliant.testing.provider import FakeProvider

__all__ = [
    "FAULTS",
    "REMOVE",
    "Behaviour",
    "Browser",
    "Callback",
    "Client",
    "FakeProvider",
    "LogoutCall",
    "ProviderRefused",
    "ReceivedRequest",
    "append",
    "extra",
    "from_now",
    "repeat",
]
