"""Writes down the public API as the source has it: names, signatures and bases."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

MODULES = (
    "gp_aiogram",
    "gp_aiogram.bot",
    "gp_aiogram.metrics",
    "gp_aiogram.reports",
    "gp_aiogram.sandbox",
    "gp_aiogram.settings",
    "gp_aiogram.stores",
    "gp_aiogram.telemetry",
    "gp_aiogram.testing",
    "gp_aiogram.web",
)

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

#: The members of objects that are called, such as ``track``.
_CALLED = {"__call__", "__init__"}


def public_api() -> str:
    """Return a line for each public name, and for each public member of a class."""
    return "".join(f"{line}\n" for name in MODULES for line in _of_module(name))


def _of_module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    for public in sorted(module.__all__):
        yield from _of_name(module, public)


def _of_name(module: ModuleType, name: str) -> Iterator[str]:
    where = f"{module.__name__}.{name}"
    value = getattr(module, name)
    if inspect.isclass(value):
        yield from _of_class(where, value)
    elif inspect.isfunction(value):
        node = _definition(inspect.unwrap(value))
        yield f"{where}{_signature(node)}"
    else:
        yield f"{where}: {type(value).__name__}"
        if type(value).__module__.startswith("gp_aiogram"):
            yield from _members(where, type(value))


def _of_class(where: str, value: type) -> Iterator[str]:
    node = _definition(value)
    bases = ", ".join(map(ast.unparse, node.bases))
    if node.name != where.rpartition(".")[2]:
        yield f"{where} is {node.name}"
        return
    yield f"{where}: class({bases})"
    yield from _members(where, value)


def _members(where: str, value: type) -> Iterator[str]:
    """Return the members of a class, those that it has from our own bases included."""
    found: dict[str, str] = {}
    for base in value.__mro__:
        if base.__module__.startswith("gp_aiogram"):
            for name, line in _own_members(_definition(base)):
                found.setdefault(name, line)
    for name, line in sorted(found.items()):
        if not name.startswith("test_"):
            yield f"{where}.{line}"


def _own_members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for part in node.body:
        if isinstance(part, _FUNCTIONS) and _is_public(part.name):
            yield part.name, f"{part.name}{_signature(part)}"
        elif isinstance(part, ast.AnnAssign) and _is_public(name := ast.unparse(part.target)):
            default = "" if part.value is None else " = …"
            yield name, f"{name}: {ast.unparse(part.annotation)}{default}"
        elif isinstance(part, ast.Assign) and _is_public(name := ast.unparse(part.targets[0])):
            yield name, f"{name} = …"


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in _CALLED


def _signature(node: ast.AST) -> str:
    assert isinstance(node, _FUNCTIONS)
    decorators = set(map(ast.unparse, node.decorator_list))
    kinds = sorted(decorators & {"property", "classmethod", "staticmethod"})
    kinds += ["async"] * isinstance(node, ast.AsyncFunctionDef)
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"({ast.unparse(node.args)}){returns}{''.join(f' [{kind}]' for kind in kinds)}"


def _definition(value: type | object) -> ast.ClassDef:
    """Return where a class or function of ours is defined."""
    return _definitions(Path(inspect.getfile(value)))[value.__name__]  # type: ignore[attr-defined]


@cache
def _definitions(path: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, *_FUNCTIONS)
    return {node.name: node for node in tree.body if isinstance(node, kinds)}
