"""Yandex Metrica: offline conversions and the Measurement Protocol."""

from gp_aiogram.destinations.metrica.destination import YandexMetrica

__all__ = ["YandexMetrica"]
