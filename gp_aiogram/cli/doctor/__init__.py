"""``gp-aiogram doctor``: what is wrong with a bot's surroundings, and what to do."""

from gp_aiogram.cli.doctor.command import EXAMPLES, doctor

__all__ = ["EXAMPLES", "doctor"]
