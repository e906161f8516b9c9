"""A store of login sessions as the cache of `OAuth`, for an app that uses the client alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reliant.login import RedisStore
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.redis import RedisServer, redis_server
from tests.helpers.relying_party import build_app, deliver, new_browser, sign_in, start

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.mark.parametrize("secret_key", [None, "the secret key of the app"])
def test_logins_in_progress_for_all_workers(redis: RedisServer, secret_key: str | None) -> None:
    provider = FakeProvider()
    stores, browsers = [], []
    for _ in range(2):
        store = RedisStore.from_url(redis.url)
        oauth = OAuth(cache=store, secret_key=secret_key)
        oauth.register("op", **provider.register_settings())
        stores.append(store)
        browsers.append(new_browser(build_app(oauth)))
    with browsers[0] as one, browsers[1] as other:
        callback = sign_in(provider, start(one))
        other.cookies.update(one.cookies)
        assert deliver(other, callback).status_code == 200
        answer = deliver(one, callback)
        assert (answer.status_code, answer.json()["code"]) == (400, "state.used")
        for browser, store in zip(browsers, stores, strict=True):
            assert browser.portal is not None
            browser.portal.call(store.aclose)
    with redis.client() as client:
        # With secret_key: that it was used, until it has run out.
        assert client.dbsize() == (0 if secret_key is None else 1)
        client.flushdb()
