"""Shared by the tests of login sessions."""

from __future__ import annotations

import pytest

from tests.helpers.login_app import KINDS, LoginApp


@pytest.fixture(params=KINDS)
def app(request: pytest.FixtureRequest) -> LoginApp:
    """The test runs with sessions in each kind of place."""
    return LoginApp(request.param)
