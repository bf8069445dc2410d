"""Checks what is released: ``python -m tests.package DIST``, as ``tox -e package`` runs it.

The wheel is installed into an empty environment, without extras and then with those of the demo,
and the demo is run from it in an empty folder.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

#: What the sdist must hold, so that its tests can be run: their inputs, and the project's files.
NEEDED = {
    ".env.example",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "README.ru.md",
    "SECURITY.md",
    "benchmarks/run.py",
    "compose.yaml",
    "docs/index.md",
    "examples/echo_bot/__main__.py",
    "gp_aiogram/py.typed",
    "tests/conftest.py",
    "tox.ini",
}

#: Rooms that need no extra; the rest says which one it needs.
WITHOUT_EXTRAS = ("", ".bot", ".errors", ".reports", ".sandbox", ".settings", ".web")

#: What uses each extra. Without it, the text names what to install, if there is no other way.
EXTRAS = {
    "admin": "from gp_aiogram.bot.admin import chart",
    "metrics": "from gp_aiogram.metrics import Metrics",
    "phone": "from gp_aiogram import Tracker; Tracker([], phone_region='DE')",
    "postgres": "from gp_aiogram import PostgresStore; PostgresStore('postgresql://localhost/a')",
    "redis": "from gp_aiogram import RedisStore; RedisStore('redis://localhost')",
    "testing": "import gp_aiogram.testing",
}


def main(folder: Path) -> None:
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    run(sys.executable, "-m", "check_wheel_contents", wheel)
    check_sdist(sdist)
    with tempfile.TemporaryDirectory() as empty:
        python = new_environment(Path(empty, "env"))
        run(python, "-m", "pip", "install", "--quiet", wheel)
        run(python, "-m", "pip", "check")
        modules = ", ".join(f"gp_aiogram{name}" for name in WITHOUT_EXTRAS)
        run(python, "-I", "-c", f"import {modules}", cwd=empty)
        told = run(python, "-m", "gp_aiogram", "demo", cwd=empty, fails=True)
        assert "pip install 'gp-aiogram[cli]'" in told, told
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cli]")
        told = run(python, "-m", "gp_aiogram", "demo", cwd=empty)
        assert "Every event arrived, once, at every destination" in told, told
        check_extras(python, wheel, empty)
    print("wheel and sdist are sound, and the demo runs from the wheel")


def check_extras(python: Path, wheel: Path, empty: str) -> None:
    for extra, use in EXTRAS.items():
        told = run(python, "-I", "-c", use, cwd=empty, fails=True)
        named = re.search(r"gp[-_]aiogram\[([\w,]+)\]", told)
        assert named is None or named[1] == extra, told
        assert named is not None or "ModuleNotFoundError" in told, told
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[{','.join(EXTRAS)}]")
    run(python, "-m", "pip", "check")
    for use in EXTRAS.values():
        run(python, "-I", "-c", use, cwd=empty)


def check_sdist(path: Path) -> None:
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    missing = sorted(NEEDED - names)
    assert not missing, f"the sdist lacks {', '.join(missing)}"


def new_environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def run(*command: str | Path, cwd: str | None = None, fails: bool = False) -> str:
    """Run a command and return what it printed; it must succeed, or fail if that is expected."""
    print("$", *command, flush=True)
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ran.returncode != 0) is fails, ran.stdout
    return ran.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
