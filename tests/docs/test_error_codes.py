"""docs/errors.md has a row for every code the library raises, and no row besides.

The codes are read from the source: every ``code=...`` that makes a text, be it a constant, an
f-string, or a parameter or loop variable, whose values are then looked up. Those of
``json_object`` in messages.py are found by breaking it in every way it knows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import reliant
from reliant import errors
from reliant.errors import OAuthError
from reliant.protocol.messages import HttpResponse, json_object

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text()
SOURCES = sorted(
    path
    for path in (ROOT / "src" / "reliant").rglob("*.py")
    if not {"testing", "cli"} & set(path.parts) and path.name != "messages.py"
)
BODIES = (b"", b"<p>", b"a=b", b"no", b"null", b"[]")
CODE = re.compile(r"[a-z_]+\.[a-z_]+")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def codes_in_tables() -> list[str]:
    return re.findall(rf"^\| `({CODE.pattern})` \|", PAGE, re.MULTILINE)


def codes_in_source() -> set[str]:
    found = {cls.default_code for cls in _classes()}
    return found | set(Sources([path.read_text() for path in SOURCES]).codes())


def _classes() -> Iterator[type[OAuthError]]:
    for name in errors.__all__:
        value = getattr(errors, name)
        if isinstance(value, type):
            yield value


class Sources:
    """The modules' sources, as far as the texts in them can be told without running them."""

    def __init__(self, sources: list[str]) -> None:
        trees = [ast.parse(source) for source in sources]
        nodes = [(node, tree) for tree in trees for node in ast.walk(tree)]
        self.module = dict(nodes)
        self.parents = {child: node for node, _ in nodes for child in ast.iter_child_nodes(node)}
        self.calls = [node for node, _ in nodes if isinstance(node, ast.Call)]

    def codes(self) -> Iterator[str]:
        for call in self.calls:
            for keyword in call.keywords:
                if keyword.arg == "code":
                    yield from filter(CODE.fullmatch, self.texts(keyword.value))
            if _name_of(call) == "json_object":
                for area in self.texts(call.args[2]):
                    yield from (_json_code(body, area) for body in BODIES)

    def texts(self, node: ast.expr) -> list[str]:
        """The texts an expression can be; none where it is something else, an attribute say."""
        match node:
            case ast.Constant(value=value):
                return [str(value)]
            case ast.IfExp(body=body, orelse=orelse):
                return [*self.texts(body), *self.texts(orelse)]
            case ast.FormattedValue(value=value):
                return self.texts(value)
            case ast.JoinedStr(values=parts):
                return ["".join(texts) for texts in product(*map(self.texts, parts))]
            case ast.Name(id=name):
                found = self.variable(name, node)
                assert found is not None, f"which texts can {name} be?"
                return found
        return []

    def variable(self, name: str, node: ast.AST) -> list[str] | None:
        """The texts of a loop variable, or of a parameter at every call of its function."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                if node.target.id == name and isinstance(node.iter, ast.Tuple):
                    return [text for item in node.iter.elts for text in self.texts(item)]
            elif isinstance(node, Function):
                if name in [argument.arg for argument in node.args.kwonlyargs]:
                    return []  # a class hands it on to its base; who makes one names the code
                names = [argument.arg for argument in node.args.args]
                return self.argument(node, names, name) if name in names else None
        return None

    def argument(self, function: Function, names: list[str], name: str) -> list[str]:
        place = [one for one in names if one != "self"].index(name)
        given = [
            call.args[place]
            if place < len(call.args)
            else next(keyword.value for keyword in call.keywords if keyword.arg == name)
            for call in self.calls
            if _name_of(call) == function.name
            # What begins with _ is called in its own module only.
            and (not function.name.startswith("_") or self.module[call] is self.module[function])
        ]
        return [text for value in given for text in self.texts(value)]


def _name_of(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return ""


def _json_code(body: bytes, area: str) -> str:
    with pytest.raises(OAuthError) as caught:
        json_object(HttpResponse(200, {}, body), OAuthError, area)
    return caught.value.code


def test_every_code_has_its_row() -> None:
    assert codes_in_source() - set(codes_in_tables()) == set()


def test_no_row_is_about_a_code_that_is_gone() -> None:
    assert set(codes_in_tables()) - codes_in_source() == set()


def test_no_code_has_two_rows() -> None:
    rows = codes_in_tables()
    assert sorted(rows) == sorted(set(rows))


def test_the_tree_names_every_class() -> None:
    tree = PAGE.partition("## The tree")[2].partition("\n## ")[0]
    for cls in _classes():
        assert re.search(rf"\b{cls.__name__}\b", tree), cls
        assert cls.__name__ in reliant.__all__
