"""Shared by whole logins."""

from __future__ import annotations

import pytest

from reliant.testing import FakeProvider
from tests.helpers.relying_party import STORES


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """Where logins in progress are kept: the test runs with each of the three."""
    name: str = request.param
    return name
