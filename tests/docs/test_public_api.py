"""What users import: sorted, complete, documented."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import reliant
import reliant.login
import reliant.starlette
import reliant.testing

MODULES = [reliant, reliant.login, reliant.starlette, reliant.testing]


def members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public classes and functions of a module, and their own public methods and properties."""
    for name in module.__all__:
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        yield f"{module.__name__}.{name}", value
        if not inspect.isclass(value):
            continue
        for cls in value.__mro__:
            if not cls.__module__.startswith("reliant"):
                continue
            for method, function in vars(cls).items():
                function = getattr(function, "__func__", function)
                if not method.startswith("_") and (
                    inspect.isfunction(function) or isinstance(function, property)
                ):
                    yield f"{module.__name__}.{name}.{method}", function


ALL = {name: value for module in MODULES for name, value in members(module)}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_is_sorted_and_holds_what_is_there(module: ModuleType) -> None:
    # Constants, classes, functions, as ruff sorts them.
    order = sorted(module.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert list(module.__all__) == order
    assert len(set(module.__all__)) == len(module.__all__)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(module.__all__)


@pytest.mark.parametrize("name", sorted(ALL))
def test_it_says_what_it_is(name: str) -> None:
    text = inspect.getdoc(ALL[name]) or ""
    # A dataclass without a docstring gets its signature for one.
    assert text, name
    assert not text.startswith(name.rpartition(".")[2] + "("), name


@pytest.mark.parametrize("name", sorted(ALL))
def test_its_types_are_written(name: str) -> None:
    value = ALL[name]
    function = value.fget if isinstance(value, property) else value
    if inspect.isclass(function):
        function = vars(function).get("__init__")
    if not inspect.isfunction(function) or not function.__module__.startswith("reliant"):
        return  # made by dataclass or Protocol
    signature = inspect.signature(function)
    if function.__name__ != "__init__":
        assert signature.return_annotation is not inspect.Signature.empty, name
    for parameter in signature.parameters.values():
        if parameter.name not in ("self", "cls"):
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter)


def test_every_error_is_importable_from_the_top() -> None:
    errors = importlib.import_module("reliant.errors")
    classes = {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))}
    assert classes <= set(reliant.__all__)
