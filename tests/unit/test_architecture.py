"""The house: imports run downward only, and the library costs no more than it must."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import gp_aiogram

PACKAGE = Path(gp_aiogram.__file__).parent

DOCS = Path(__file__).parents[2] / "docs" / "architecture.md"

#: The rooms from the ground up, as the table of docs/architecture.md has them: each may use those
#: before it, and no others.
ROOMS = re.findall(r"^\| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)

#: The stand-ins that are covers of the gateway; all others use nothing of the library.
COVERS = {
    "gp_aiogram.sandbox.gateway",
    "gp_aiogram.sandbox.platforms.grampixel",
    "gp_aiogram.sandbox.platforms.leadsail",
}

#: The rooms that run stand-ins for others.
RUNNERS = {"playground", "testing"}

#: The only modules that import within a function, and what: optional parts and the door upward.
DOORS = {
    ("gp_aiogram.tracker.tracker", "gp_aiogram.bot.setup"),
    ("gp_aiogram.decorators", "annotationlib"),
    ("gp_aiogram.identity.phones", "phonenumbers"),
    ("gp_aiogram.telemetry.automatic", "gp_aiogram.telemetry.tracing"),
    ("gp_aiogram.cli.__init__", "gp_aiogram.cli.app"),
    ("gp_aiogram.cli.demo", "gp_aiogram.playground.demo"),
    ("gp_aiogram.cli.sandbox", "gp_aiogram.playground.running"),
    ("gp_aiogram.cli.worker", "prometheus_client"),
    ("gp_aiogram.cli.worker", "gp_aiogram.metrics"),
    ("gp_aiogram.bot.admin.pictures", "gp_aiogram.bot.admin.chart"),
    ("gp_aiogram.testing.sandboxes", "gp_aiogram.bot.polling"),
    ("gp_aiogram.stores.redis.driver", "redis.asyncio"),
    ("gp_aiogram.stores.redis.driver", "redis.backoff"),
    ("gp_aiogram.stores.postgres.database", "asyncpg"),
    ("gp_aiogram.stores.postgres.callers", "sqlalchemy"),
}


#: The echo bot takes the public names from the root, as the programs of users do.
EXAMPLE = ("playground", "gp_aiogram")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("gp_aiogram", exclude_type_checking_imports=True, cache_dir=None)


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else "gp_aiogram"


def height(name: str) -> int:
    return ROOMS.index(name)


def test_every_module_has_its_place(graph: grimp.ImportGraph) -> None:
    assert {part(module) for module in graph.modules} == {*ROOMS, "gp_aiogram"}


def test_imports_run_downward_only(graph: grimp.ImportGraph) -> None:
    upward = []
    for module in graph.modules - {"gp_aiogram"}:
        for imported in graph.find_modules_directly_imported_by(module):
            here, there = part(module), part(imported)
            if here == there or (module, imported) in DOORS or (here, there) == EXAMPLE:
                continue
            if height(there) >= height(here):
                upward.append(f"{module} imports {imported}")
    assert upward == []


def test_stand_ins_of_others_share_nothing_with_the_library(graph: grimp.ImportGraph) -> None:
    sandbox = {module for module in graph.modules if part(module) == "sandbox"}
    for module in sandbox - COVERS:
        imported = graph.find_modules_directly_imported_by(module)
        assert {part(one) for one in imported} <= {"sandbox"}, module
    for module in {one for one in graph.modules - sandbox if part(one) not in RUNNERS}:
        imported = graph.find_modules_directly_imported_by(module)
        assert "sandbox" not in {part(one) for one in imported}, module


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_within_a_function(path: Path) -> None:
    name = ".".join(("gp_aiogram", *path.relative_to(PACKAGE).with_suffix("").parts))
    inside = set()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom):
                    inside.add((name, node.module))
                elif isinstance(node, ast.Import):
                    inside |= {(name, alias.name) for alias in node.names}
    assert inside <= DOORS


def test_only_bot_and_playground_import_aiogram() -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in modules()
        if any(_imports_aiogram(node) for node in ast.parse(path.read_text("utf-8")).body)
    }
    assert users == {"bot", "playground"}


def _imports_aiogram(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == "aiogram"
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == "aiogram" for alias in node.names)
    return False


def test_importing_the_library_does_not_import_aiogram() -> None:
    code = "import sys, gp_aiogram; sys.exit('aiogram' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_sorted_and_complete() -> None:
    names = gp_aiogram.__all__
    assert names == sorted(names)
    defined = {
        name
        for name, value in vars(gp_aiogram).items()
        if not name.startswith("_") and type(value).__name__ != "module"
    }
    assert defined | {"__version__"} == set(names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_in_a_sentence_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))


#: Kinds of classes whose bare annotations are their fields.
RECORDS = {"NamedTuple", "TypedDict", "Protocol", "BaseModel", "BaseSettings", "CallbackData"}

#: What a class tells its subclasses to set, in so many words.
PROMISED = {("Destination", "name"), ("DestinationGroup", "destination")}


def classes() -> list[ast.ClassDef]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in modules()]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def is_record(node: ast.ClassDef) -> bool:
    names = {ast.unparse(base).split("[")[0] for base in node.bases}
    marks = {ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list}
    return bool(names & RECORDS) or "dataclass" in marks


def test_no_class_declares_attributes_for_another_to_fill() -> None:
    records = {node.name for node in classes() if is_record(node)}
    declared = set()
    for node in classes():
        bases = {ast.unparse(base).split("[")[0] for base in node.bases}
        if node.name in records or bases & records:
            continue
        own = {
            ast.unparse(target).removeprefix("self.")
            for part in ast.walk(node)
            if isinstance(part, (ast.Assign, ast.AnnAssign))
            for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
            if ast.unparse(target).startswith("self.")
        }
        declared |= {
            (node.name, ast.unparse(part.target))
            for part in node.body
            if isinstance(part, ast.AnnAssign) and part.value is None
            if ast.unparse(part.target) not in own
        }
    assert declared <= PROMISED
