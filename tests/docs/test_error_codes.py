"""docs/errors.md has a row for every code the library raises, and no row besides.

The codes are read from the source: `code="..."`, and the calls of each module's little functions
that make errors with `code=f"area.{rule}"`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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
    if not {"testing", "cli"} & set(path.parts)
)
BODIES = (b"", b"<p>", b"a=b", b"no", b"null", b"[]")  # each breaks json_object in its own way


def codes_in_tables() -> list[str]:
    return re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", PAGE, re.MULTILINE)


def codes_in_source() -> set[str]:
    found = {cls.default_code for cls in _classes()}
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        found |= set(_written_out(tree))
        makers = dict(_makers(tree))
        for call in _calls(tree):
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            if name in makers:
                position, area = makers[name]
                found |= {f"{area}.{rule}" for rule in _strings(call.args[position], tree)}
            elif name == "json_object":
                found |= {_json_code(body, *_strings(call.args[2], tree)) for body in BODIES}
    return found


def _classes() -> Iterator[type[OAuthError]]:
    for name in errors.__all__:
        value = getattr(errors, name)
        if isinstance(value, type):
            yield value


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _written_out(tree: ast.AST) -> Iterator[str]:
    """The strings in `code=...`, also those of `code=a if b else c`."""
    for call in _calls(tree):
        for keyword in call.keywords:
            if keyword.arg == "code" and not isinstance(keyword.value, ast.JoinedStr):
                for node in ast.walk(keyword.value):
                    if isinstance(node, ast.Constant) and re.fullmatch(
                        r"[a-z_]+\.[a-z_]+", str(node.value)
                    ):
                        yield str(node.value)


def _makers(tree: ast.Module) -> Iterator[tuple[str, tuple[int, str]]]:
    """Functions with `code=f"area.{parameter}"`: the name, and the parameter's place and area."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        parameters = [argument.arg for argument in function.args.args]
        for call in _calls(function):
            for keyword in call.keywords:
                match keyword.arg, keyword.value:
                    case "code", ast.JoinedStr(
                        values=[
                            ast.Constant(value=str(area)),
                            ast.FormattedValue(value=ast.Name(id=parameter)),
                        ]
                    ) if parameter in parameters:
                        yield function.name, (parameters.index(parameter), area.rstrip("."))


def _strings(node: ast.expr, tree: ast.Module) -> Iterator[str]:
    """A constant's value; of a loop variable, all values it takes."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
        return
    assert isinstance(node, ast.Name), ast.unparse(node)
    values = [
        str(element.value)
        for loop in ast.walk(tree)
        if isinstance(loop, ast.For)
        and isinstance(loop.target, ast.Name)
        and loop.target.id == node.id
        and isinstance(loop.iter, ast.Tuple)
        and any(inner is node for inner in ast.walk(loop))
        for element in loop.iter.elts
        if isinstance(element, ast.Constant)
    ]
    assert values, f"which values can {node.id} take?"
    yield from values


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
