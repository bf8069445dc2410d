"""What stored sessions and events add up to: funnel, coverage, deliveries over time."""

from __future__ import annotations

from gp_aiogram.reports.coverage import KEYS, Coverage, CoverageTally
from gp_aiogram.reports.deliveries import DeliveryTally, Flow
from gp_aiogram.reports.funnel import Funnel, FunnelRow, FunnelTally
from gp_aiogram.reports.reading import Report, read_report

__all__ = [
    "KEYS",
    "Coverage",
    "CoverageTally",
    "DeliveryTally",
    "Flow",
    "Funnel",
    "FunnelRow",
    "FunnelTally",
    "Report",
    "read_report",
]
