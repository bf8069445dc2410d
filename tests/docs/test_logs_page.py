"""The JSON lines of docs/howto/logs-and-metrics.md."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import yaml

from fixtures.pages import DOCS, blocks

PAGE = "howto/logs-and-metrics"


def test_a_line_is_the_json_that_the_page_shows() -> None:
    (code,) = [block for block in blocks(PAGE, "python") if "JSONFormatter" in block]
    names: dict[str, Any] = {}
    exec(code.partition("\n\nhandler = ")[0], names)
    (shown,) = map(json.loads, blocks(PAGE, "json"))
    record = logging.makeLogRecord(
        {
            "name": "gp_aiogram",
            "levelname": "INFO",
            "msg": "captured session %s of user %d (%s)",
            "args": ("gp_a1b2c3", 7, "start"),
        }
    )
    line = json.loads(names["JSONFormatter"]().format(record))
    assert line | {"time": shown["time"]} == shown


def test_it_names_metrics_that_exist() -> None:
    page = (DOCS / f"{PAGE}.md").read_text(encoding="utf-8")
    known = (DOCS / "howto" / "workers.md").read_text(encoding="utf-8")
    named = set(re.findall(r"gp_aiogram_\w+", page))
    assert named
    assert all(f"`{name}`" in known for name in named)


def test_prometheus_is_configured_in_yaml() -> None:
    (config,) = map(yaml.safe_load, blocks(PAGE, "yaml"))
    assert config["scrape_configs"][0]["job_name"] == "gp_aiogram"
