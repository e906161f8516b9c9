"""A logout that the provider sends to one worker counts on all, from the next request on."""

from __future__ import annotations

import pytest

from tests.distributed.conftest import System

pytestmark = pytest.mark.needs("redis-server")


@pytest.mark.parametrize("config", [{"kind": "store"}, {"kind": "indexed"}], ids=str)
async def test_back_channel(system: System) -> None:
    (client,) = system.provider.clients.values()
    uri = f"{system.workers[2].origin}/auth/backchannel-logout"
    system.provider.add_client(client.client_id, client.client_secret, backchannel_logout_uri=uri)
    alice, bob = await system.log_in("alice"), await system.log_in("bob")
    assert await system.who(alice) == ["alice"] * 4
    await system.provider.end_sessions("alice")
    (call,) = system.provider.logout_calls
    assert call.response.status_code == 200
    assert await system.who(alice) == [None] * 4
    assert await system.who(bob) == ["bob"] * 4


async def test_once_on_all_workers(system: System) -> None:
    """The same logout token at another worker."""
    (client,) = system.provider.clients.values()
    first, second = (f"{w.origin}/auth/backchannel-logout" for w in system.workers[:2])
    system.provider.add_client(client.client_id, client.client_secret, backchannel_logout_uri=first)
    await system.log_in("alice")
    await system.provider.end_sessions("alice")
    (call,) = system.provider.logout_calls
    response = await system.http.post(second, data=call.form)
    assert (response.status_code, response.json()["code"]) == (400, "logout_token.replay")
