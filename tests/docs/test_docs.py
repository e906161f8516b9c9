"""The Python blocks of the READMEs and docs/*.md are run, page by page, against a FakeProvider.

Blocks of one page share their names, as if read from top to bottom, and may await. What a page
hides (`<!-- invisible-code-block: python -->`) sets up and checks what it shows. None is left out.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from starlette.testclient import TestClient
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from reliant.client.settings import SETTINGS
from reliant.http.transport import CLIENT_OPTIONS
from reliant.starlette import OAuth, StarletteClient
from reliant.testing import FakeProvider

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", *sorted((ROOT / "examples").rglob("README.md"))]
PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, *ROOT.glob("[A-Z]*.md")]


def _compile(example: Example) -> None:
    code = compile(
        # Line numbers in a failure are those of the page.
        "\n" * (example.line + example.parsed.line_offset) + example.parsed,
        example.path,
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    example.namespace["_blocks"].append(code)


PARSER = Sybil(parsers=[CodeBlockParser("python", _compile)])


def blocks_of(document: Document) -> Iterator[CodeType]:
    """The blocks to run, in order."""
    document.namespace["_blocks"] = []
    for example in document.examples():
        example.evaluate()
    yield from document.namespace["_blocks"]


async def log_in(app: Any, client: StarletteClient, path: str = "/login") -> Any:
    """Log in as alice through ``app``; returns where the callback leads, or its JSON.

    ``client``: the client of the page, which from then on speaks to a provider of this process.
    """
    provider = FakeProvider()
    use(client, provider)
    with TestClient(app, base_url="https://app.example", follow_redirects=False) as browser:
        response = browser.get(path)
        assert response.status_code == 302, response.text
        callback = await provider.sign_in(response.headers["location"])
        response = browser.request(callback.method, callback.url, data=callback.form)
        assert response.status_code < 400, response.text
        return response.headers.get("location") or response.json()


def use(client: StarletteClient, provider: FakeProvider) -> None:
    """Let a client that a page registered for a real provider speak to ``provider``."""
    oauth = OAuth(secret_key="only to make another client")
    other = oauth.register(client.name, **provider.register_settings())
    for name in ("settings", "transport", "provider", "verifier", "token_endpoint"):
        setattr(client, name, getattr(other, name))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
async def test_the_code_of_a_page_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {
        "FakeProvider": FakeProvider,
        "TestClient": TestClient,
        "log_in": log_in,
        "monkeypatch": monkeypatch,
        "pytest": pytest,
        "use": use,
    }
    for code in blocks_of(PARSER.parse(path)):
        result = eval(code, names)  # noqa: S307 - our own pages
        if inspect.isawaitable(result):
            await result


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        if anchor:
            assert anchor in anchors(page), target


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings make."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_names_both_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index


def test_register_md_names_every_setting() -> None:
    page = (ROOT / "docs" / "register.md").read_text()
    own = {"code_challenge_method", "scope", "token_placement"}
    assert {name for name in SETTINGS | CLIENT_OPTIONS | own if f"`{name}`" not in page} == set()


def test_architecture_names_every_module() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## Rooms")[2].partition("\n## ")[0]
    there = {path.name for path in (ROOT / "src").rglob("*.py")} | {
        f"{path.parent.name}/" for path in (ROOT / "src" / "reliant").rglob("__init__.py")
    }
    named = set(re.findall(r"\b\w+(?:\.py|/)", text))
    assert there - named == set()
    assert named - there == {"src/", "tests/", "docs/", "examples/"}
