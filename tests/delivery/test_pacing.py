"""When a destination may be called: retry delays, the breaker, pauses, and the way back up."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_aiogram.delivery.pacing import (
    FAILURES_TO_OPEN,
    PROBE_FIRST,
    PROBE_LONGEST,
    PROBE_REFUSED,
    THROTTLE_DEFAULT,
    THROTTLE_LEAST,
    THROTTLE_MOST,
    Pacer,
    retry_delay,
)
from gp_aiogram.stores.records import MAX_DELAY
from gp_aiogram.testing import ManualClock

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

MOST = 16_000
DRAWS = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pacer(clock: ManualClock) -> Pacer:
    return Pacer("shop", clock.monotonic)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def fail(pacer: Pacer, times: int = FAILURES_TO_OPEN) -> None:
    for _ in range(times):
        pacer.failed("HTTP 500")


def pass_wait(pacer: Pacer, clock: ManualClock) -> float:
    """Let the time pass that the pacer asks for, and return it."""
    wait = pacer.wait
    clock.advance(wait)
    return wait


# Retry delays


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 2), (1, 6), (2, 18), (3, 54), (4, 162), (5, 486), (6, 1458), (7, 3600), (8, 3600)],
)
def test_each_retry_waits_three_times_as_long_up_to_an_hour(failures, seconds):
    assert retry_delay(failures, lambda: 0.5) == seconds


@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.5), (0.25, 0.75), (0.75, 1.25)])
def test_retries_are_spread_by_half_to_either_side(draw, share):
    assert retry_delay(2, lambda: draw) == 18 * share


@steady
@given(st.integers(min_value=0, max_value=10**9), DRAWS)
def test_any_retry_is_scheduled_within_an_hour_and_a_half(failures, draw):
    delay = retry_delay(failures, lambda: draw)
    assert isinstance(delay, float)
    assert 1 <= delay <= 5400
    assert delay <= MAX_DELAY, "a store takes a longer delay for a clock that was set back"
    base = min(2.0 * 3.0 ** min(failures, 20), 3600.0)
    assert 0.5 * base <= delay <= 1.5 * base


@steady
@given(st.integers(min_value=0, max_value=100), DRAWS)
def test_a_later_retry_never_comes_sooner_by_the_same_draw(failures, draw):
    assert retry_delay(failures, lambda: draw) <= retry_delay(failures + 1, lambda: draw)


# The breaker


def test_a_new_destination_takes_everything(pacer):
    assert (pacer.state, pacer.wait, pacer.allowance(MOST)) == ("healthy", 0, MOST)


def test_four_failures_in_a_row_change_nothing(pacer, log):
    fail(pacer, 4)
    assert (pacer.state, pacer.wait, pacer.allowance(MOST)) == ("healthy", 0, MOST)
    assert log.records == []


def test_the_fifth_failure_in_a_row_stops_delivery(pacer):
    fail(pacer, 5)
    assert (pacer.state, pacer.wait, pacer.allowance(MOST)) == ("failing", PROBE_FIRST, 0)


def test_a_success_in_between_starts_the_count_anew(pacer):
    fail(pacer, 4)
    pacer.succeeded()
    fail(pacer, 4)
    assert pacer.state == "healthy"
    fail(pacer, 1)
    assert pacer.state == "failing"


def test_after_the_wait_a_single_event_probes(pacer, clock):
    fail(pacer)
    clock.advance(PROBE_FIRST - 0.1)
    assert pacer.allowance(MOST) == 0
    clock.advance(0.2)
    assert pacer.allowance(MOST) == 1


def test_probes_come_after_5_s_and_then_twice_as_late_each_time_up_to_5_min(pacer, clock):
    fail(pacer)
    waits = []
    for _ in range(9):
        waits.append(pass_wait(pacer, clock))
        fail(pacer, 1)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert waits[0] == PROBE_FIRST
    assert waits[-1] == PROBE_LONGEST


def test_many_requests_that_fail_together_open_the_breaker_once(pacer, clock, log):
    fail(pacer, 200)
    assert pass_wait(pacer, clock) == PROBE_FIRST
    fail(pacer, 1)
    assert pacer.wait == 2 * PROBE_FIRST
    assert len(log.records) == 1


def test_requests_under_way_that_fail_late_do_not_push_the_probe_back(pacer, clock):
    fail(pacer)
    clock.advance(3)
    fail(pacer, 50)
    assert pacer.wait == PROBE_FIRST - 3


def test_a_success_leads_back_to_all_in_steps_of_1_10_100(pacer, clock):
    fail(pacer)
    pass_wait(pacer, clock)
    steps = []
    for _ in range(5):
        steps.append(pacer.allowance(MOST))
        pacer.succeeded()
    assert steps == [1, 10, 100, MOST, MOST]
    assert pacer.state == "healthy"


def test_the_way_back_never_allows_more_than_the_destination_takes(pacer, clock):
    fail(pacer)
    pass_wait(pacer, clock)
    steps = []
    for _ in range(4):
        steps.append(pacer.allowance(16))
        pacer.succeeded()
    assert steps == [1, 10, 16, 16]


def test_after_a_recovery_probes_begin_at_5_s_again(pacer, clock):
    fail(pacer)
    for _ in range(4):
        pass_wait(pacer, clock)
        fail(pacer, 1)
    pass_wait(pacer, clock)
    pacer.succeeded()
    assert pacer.state == "healthy"
    fail(pacer)
    assert (pacer.state, pacer.wait) == ("failing", PROBE_FIRST)


def test_failures_on_the_way_back_open_the_breaker_like_any_others(pacer, clock):
    fail(pacer)
    pass_wait(pacer, clock)
    pacer.succeeded()
    fail(pacer, 4)
    assert (pacer.state, pacer.allowance(MOST)) == ("healthy", 10)
    fail(pacer, 1)
    assert (pacer.state, pacer.allowance(MOST)) == ("failing", 0)
    pass_wait(pacer, clock)
    assert pacer.allowance(MOST) == 1


@pytest.mark.parametrize("stop", [fail, lambda pacer: pacer.refused("HTTP 401")])
def test_a_success_of_a_request_under_way_proves_that_the_destination_is_back(pacer, stop):
    stop(pacer)
    assert pacer.allowance(MOST) == 0
    pacer.succeeded()
    assert (pacer.state, pacer.wait, pacer.allowance(MOST)) == ("healthy", 0, 10)


def test_setting_the_wall_clock_neither_ends_nor_lengthens_a_wait(pacer, clock):
    fail(pacer)
    clock.jump(86_400)
    assert pacer.wait == PROBE_FIRST
    clock.jump(-2 * 86_400)
    assert pacer.wait == PROBE_FIRST


# Asked to wait


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        (None, THROTTLE_DEFAULT),
        (30, 30),
        (0, THROTTLE_LEAST),
        (0.2, THROTTLE_LEAST),
        (-5, THROTTLE_LEAST),
        (3600, 3600),
        (10**9, THROTTLE_MOST),
        (float("inf"), THROTTLE_MOST),
    ],
)
def test_a_destination_that_asks_to_wait_is_left_alone_as_told_within_bounds(
    pacer, clock, told, wait
):
    pacer.throttled(told, "HTTP 429")
    assert (pacer.state, pacer.wait, pacer.allowance(MOST)) == ("throttled", wait, 0)
    clock.advance(wait)
    assert pacer.allowance(MOST) == MOST


def test_asking_to_wait_is_no_failure(pacer):
    fail(pacer, 4)
    for _ in range(10):
        pacer.throttled(1, "HTTP 429")
    assert pacer.state == "throttled"


def test_the_longer_of_two_requested_waits_counts(pacer):
    pacer.throttled(60, "HTTP 429")
    pacer.throttled(5, "HTTP 429")
    assert pacer.wait == 60
    pacer.throttled(90, "HTTP 429")
    assert pacer.wait == 90


def test_a_success_of_a_request_under_way_does_not_lift_the_wait(pacer, clock):
    pacer.throttled(60, "HTTP 429")
    clock.advance(10)
    pacer.succeeded()
    assert (pacer.state, pacer.wait, pacer.allowance(MOST)) == ("throttled", 50, 0)


def test_after_the_wait_a_success_ends_the_throttling(pacer, clock):
    pacer.throttled(60, "HTTP 429")
    pass_wait(pacer, clock)
    pacer.succeeded()
    assert (pacer.state, pacer.allowance(MOST)) == ("healthy", MOST)


def test_a_probe_that_is_asked_to_wait_keeps_to_single_events(pacer, clock):
    fail(pacer)
    pass_wait(pacer, clock)
    pacer.throttled(30, "HTTP 429")
    assert pacer.wait == 30
    pass_wait(pacer, clock)
    assert pacer.allowance(MOST) == 1
    pacer.succeeded()
    assert (pacer.state, pacer.allowance(MOST)) == ("healthy", 10)


# Refused


def test_a_refusal_pauses_at_once(pacer):
    pacer.refused("HTTP 401")
    assert (pacer.state, pacer.wait, pacer.allowance(MOST)) == ("refused", PROBE_REFUSED, 0)


def test_a_refused_destination_is_probed_with_one_event_every_few_minutes(pacer, clock):
    assert 60 <= PROBE_REFUSED <= 300
    pacer.refused("HTTP 401")
    for _ in range(5):
        assert pass_wait(pacer, clock) == PROBE_REFUSED
        assert pacer.allowance(MOST) == 1
        pacer.refused("HTTP 401")


def test_a_refused_destination_resumes_by_itself(pacer, clock):
    pacer.refused("HTTP 401")
    pass_wait(pacer, clock)
    steps = []
    for _ in range(4):
        steps.append(pacer.allowance(MOST))
        pacer.succeeded()
    assert (pacer.state, steps) == ("healthy", [1, 10, 100, MOST])


def test_a_refused_destination_that_fails_next_trips_the_breaker_with_single_events(pacer, clock):
    pacer.refused("HTTP 401")
    pass_wait(pacer, clock)
    for _ in range(FAILURES_TO_OPEN - 1):
        assert pacer.allowance(MOST) == 1
        fail(pacer, 1)
    fail(pacer, 1)
    assert (pacer.state, pacer.wait) == ("failing", PROBE_FIRST)


# What is logged


def test_the_log_tells_when_delivery_stops_and_when_it_goes_on_and_nothing_between(
    pacer, clock, log
):
    fail(pacer, 20)
    for _ in range(50):
        pass_wait(pacer, clock)
        fail(pacer, 1)
    assert log.messages == [
        "shop fails, its events wait: HTTP 500",
    ]
    for _ in range(50):
        pass_wait(pacer, clock)
        pacer.succeeded()
    assert [(record.levelname, record.getMessage()) for record in log.records[1:]] == [
        ("WARNING", "shop answers again"),
    ]
    assert {record.name for record in log.records} == {"gp_aiogram.courier"}


def test_the_log_tells_of_a_refusal_once(pacer, clock, log):
    for _ in range(50):
        pacer.refused("HTTP 401: bad key")
        pass_wait(pacer, clock)
    pacer.succeeded()
    messages = log.messages
    assert len(messages) == 2
    assert "shop is paused and keeps its events, fix its settings" in messages[0]
    assert "HTTP 401: bad key" in messages[0]
    assert log.records[0].levelname == "ERROR"
    assert messages[1] == "shop answers again"


def test_the_log_tells_of_a_requested_wait_once(pacer, clock, log):
    for _ in range(50):
        pacer.throttled(30, "HTTP 429")
    pass_wait(pacer, clock)
    pacer.succeeded()
    assert log.messages == [
        "shop asks to wait for 30 s: HTTP 429",
        "shop answers again",
    ]


def test_a_destination_that_always_answers_is_never_mentioned(pacer, log):
    for _ in range(50):
        pacer.succeeded()
    assert log.records == []
