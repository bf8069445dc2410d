"""What the tests of the stand-ins share."""

import copy

import pytest

from fixtures.sandbox_bots import bot_of
from gp_aiogram.sandbox import TelegramSandbox


@pytest.fixture
async def telegram():
    async with TelegramSandbox(timeout=2.0) as sandbox:
        yield sandbox


@pytest.fixture
async def bot(telegram):
    """An aiogram bot that calls the stand-in."""
    async with bot_of(telegram) as bot:
        yield bot


class Clock:
    """A clock that tests advance."""

    now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def nulled():
    """A function that yields each path within a body, with a copy that has null there."""

    def nulled(body):
        for path in paths(body):
            *parents, last = path
            copied = copy.deepcopy(body)
            target = copied
            for key in parents:
                target = target[key]
            target[last] = None
            yield path, copied

    return nulled


def paths(value):
    """Yield the path of everything within a value, however deep."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (key,)
        if isinstance(item, (dict, list)):
            yield from ((key, *path) for path in paths(item))
