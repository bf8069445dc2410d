"""What a tracker counts, for Prometheus; needs the extra ``metrics``."""

from __future__ import annotations

try:
    import prometheus_client as _  # noqa: F401 - looked for, so that its lack is told
except ModuleNotFoundError as error:
    message = "gp_aiogram.metrics needs prometheus-client: pip install 'gp-aiogram[metrics]'"
    raise ModuleNotFoundError(message, name=error.name) from None

from gp_aiogram.metrics.metrics import Metrics

__all__ = ["Metrics"]
