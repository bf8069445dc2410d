"""The stand-in for Yandex Metrica: what it accepts, what it refuses, and in which words."""

import asyncio
from urllib.parse import urlencode

import aiohttp
import pytest

from gp_aiogram.sandbox import Fault, MetricaSandbox

NOW = 1_790_000_000
BASE = "/management/v1/counter/12345678/offline_conversions"
UPLOAD = f"{BASE}/upload?type=BASIC"
LINES = "yclid,Target,DateTime,Price,Currency\n"


class Clock:
    now = float(NOW)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def metrica(clock):
    async with MetricaSandbox(clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def client(metrica):
    headers = {"Authorization": f"OAuth {metrica.token}"}
    async with aiohttp.ClientSession(metrica.url, headers=headers) as session:
        yield session


async def upload(client, text, path=UPLOAD, **options):
    form = aiohttp.FormData()
    form.add_field("file", text.encode(), filename="c.csv", content_type="text/csv")
    async with client.post(path, data=form, **options) as response:
        return response.status, await response.json()


async def status(client, number):
    async with client.get(f"{BASE}/uploading/{number}") as response:
        return response.status, await response.json()


async def collect(metrica, **fields):
    form = {"tid": metrica.counter_id, "ms": metrica.ms_token, "cid": "77", **fields}
    async with (
        aiohttp.ClientSession(metrica.url) as session,
        session.post("/collect", data=form) as response,
    ):
        return response.status


async def test_an_upload_is_taken_and_told_of(metrica, client):
    text = f'{LINES}1,buy,{NOW - 60},49.90,RUB\n2,"a ""goal"", with é",{NOW - 60},,\n'
    code, answer = await upload(client, text)
    assert code == 200
    assert answer == {"uploading": {"id": 1, "line_quantity": 2, "status": "UPLOADED"}}
    first, second = await metrica.wait_for(2)
    assert (first.id_kind, first.id, first.target) == ("yclid", "1", "buy")
    assert (first.price, first.currency, first.at) == ("49.90", "RUB", NOW - 60)
    assert (second.target, second.price) == ('a "goal", with é', "")
    assert metrica.uploads == [[first, second]]


async def test_an_upload_is_worked_off_after_two_hours(client, clock):
    await upload(client, f"{LINES}1,buy,{NOW - 60},1,RUB\n")
    assert (await status(client, 1))[1]["uploading"]["status"] == "UPLOADED"
    clock.now += 7200
    _, answer = await status(client, 1)
    assert answer["uploading"] == {
        "id": 1,
        "line_quantity": 1,
        "status": "PROCESSED",
        "linked_quantity": 1,
    }
    assert (await status(client, 2))[0] == 404


async def test_an_upload_without_visits_fails_to_link(clock):
    visits = {"1": NOW - 22 * 86_400, "2": NOW - 20 * 86_400}
    async with (
        MetricaSandbox(visits=visits, clock=clock) as metrica,
        aiohttp.ClientSession(
            metrica.url, headers={"Authorization": f"OAuth {metrica.token}"}
        ) as client,
    ):
        for visitor in ("1", "2", "3"):
            await upload(client, f"{LINES}{visitor},buy,{NOW - 60},1,RUB\n")
        metrica.process()
        answers = [(await status(client, number))[1]["uploading"] for number in (1, 2, 3)]
    assert [one["status"] for one in answers] == [
        "LINKAGE_FAILURE",
        "PROCESSED",
        "LINKAGE_FAILURE",
    ]


async def test_another_currency_than_the_counters_empties_the_amount(metrica, client):
    await upload(client, f"{LINES}1,buy,{NOW - 60},49.90,USD\n")
    (event,) = metrica.events
    assert (event.price, event.currency) == ("", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the header must have one of"),
        ("Target,DateTime\nbuy,1\n", "the header must have one of"),
        ("yclid,ClientId,Target,DateTime\n1,1,buy,1\n", "the header must have one of"),
        ("yclid,Target\n1,buy\n", "the header must have one of"),
        (f"{LINES.replace('Price', 'Sum')}1,buy,1,1,RUB\n", "the header must have one of"),
        (LINES, "the file has no lines"),
        (f"{LINES},buy,1,1,RUB\n", "line 2: yclid is empty"),
        (f"{LINES}1,,1,1,RUB\n", "line 2: Target is empty"),
        (f"{LINES}1,buy,{NOW + 1},1,RUB\n", "line 2: DateTime must be Unix seconds of the past"),
        (f"{LINES}1,buy,2026-01-01,1,RUB\n", "line 2: DateTime must be Unix seconds"),
        (f"{LINES}1,buy,1,much,RUB\n", "line 2: Price must be a number"),
    ],
)
async def test_a_spoilt_file_is_an_invalid_parameter(metrica, client, text, said):
    code, answer = await upload(client, text)
    assert (code, answer["code"]) == (400, 400)
    (error,) = answer["errors"]
    assert (error["error_type"], error["location"]) == ("invalid_parameter", "file")
    assert said in error["message"]
    assert metrica.events == []


async def test_an_upload_needs_a_file_and_a_type(client):
    async with client.post(UPLOAD, data=b"yclid,Target,DateTime\n") as response:
        assert (response.status, (await response.json())["errors"][0]["location"]) == (400, "file")
    assert (await upload(client, LINES, f"{BASE}/upload"))[0] == 400
    older = f"{BASE}/upload?client_id_type=YCLID"
    assert (await upload(client, f"{LINES}1,buy,1,1,RUB\n", older))[0] == 200


async def test_a_wrong_token_and_a_strange_counter_are_denied(metrica, client):
    wrong = {"Authorization": "OAuth wrong"}
    code, answer = await upload(client, LINES, headers=wrong)
    assert (code, answer["errors"][0]["error_type"]) == (403, "access_denied")
    assert (await upload(client, LINES, UPLOAD.replace("12345678", "9")))[0] == 403
    async with client.get("/management/v1/counters") as response:
        assert response.status == 404
    assert metrica.events == []


@pytest.mark.parametrize("over", [429, 420])
async def test_over_quota_both_statuses_can_be_answered(clock, over):
    async with (
        MetricaSandbox(over_quota=over, per_day=3, per_second=2, clock=clock) as metrica,
        aiohttp.ClientSession(
            metrica.url, headers={"Authorization": f"OAuth {metrica.token}"}
        ) as client,
    ):
        text = f"{LINES}1,buy,1,1,RUB\n"
        codes = [(await upload(client, text))[0] for _ in range(3)]
        clock.now += 1
        codes += [(await upload(client, text))[0]]
        clock.now += 1
        code, answer = await upload(client, text)
        clock.now += 86_400
        codes += [(await upload(client, text))[0]]
        assert [request.status for request in metrica.requests].count(over) == 2
    assert codes == [200, 200, over, 200, 200]
    assert (code, answer["errors"][0]["error_type"]) == (over, "quota_requests_by_uid")


async def test_more_than_three_requests_at_a_time_are_too_many(metrica, client):
    metrica.fail(Fault.delay(0.3), times=None)
    text = f"{LINES}1,buy,1,1,RUB\n"
    answers = await asyncio.gather(*(upload(client, text) for _ in range(4)))
    assert sorted(code for code, _ in answers) == [200, 200, 200, 429]


async def test_it_fails_as_told_and_recovers(metrica, client):
    metrica.fail(Fault.status(503, body={"errors": [{"error_type": "backend_error"}]}))
    text = f"{LINES}1,buy,1,1,RUB\n"
    assert (await upload(client, text))[0] == 503
    assert (await upload(client, text))[0] == 200
    metrica.fail(Fault.drop_answer())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await upload(client, text)
    assert len(metrica.events) == 2


async def test_a_form_of_the_measurement_protocol_is_an_event(metrica):
    assert await collect(metrica, t="event", ea="buy", et=str(NOW - 60)) == 200
    assert await collect(metrica, t="event", ea="pay", pa="purchase", ti="o1", tr="49.90") == 200
    first, second = metrica.events
    assert (first.mode, first.id, first.target, first.at) == (
        "measurement",
        "77",
        "buy",
        NOW - 60,
    )
    assert (second.price, second.currency) == ("49.90", "RUB")


async def test_an_event_without_a_visit_is_recorded_nowhere_until_there_is_one(clock):
    async with MetricaSandbox(visits={"1": NOW - 13 * 3600}, clock=clock) as metrica:
        for visitor in ("1", "77"):
            assert await collect(metrica, t="event", ea="buy", cid=visitor) == 200
        assert metrica.events == []
        assert {why for _, why in metrica.lost} == {"there is no visit of the last 12 hours"}
        assert await collect(
            metrica, t="pageview", dl="https://a.b/", dr="https://c.d/", dt="A"
        ) == (200)
        assert await collect(metrica, t="event", ea="buy") == 200
        assert len(metrica.events) == 1
        for _ in range(998):
            metrica._unrecorded({"cid": "77", "t": "event"}, NOW)
        assert await collect(metrica, t="event", ea="buy") == 200
        assert metrica.lost[-1][1] == "a visit takes 1000 actions"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"t": "event"}, 400),
        ({"t": "view", "ea": "buy"}, 400),
        ({"t": "pageview", "dl": "https://a.b/"}, 400),
        ({"t": "event", "ea": "buy", "cid": ""}, 400),
        ({"t": "event", "ea": "buy", "pa": "purchase", "tr": "1"}, 400),
        ({"t": "event", "ea": "buy", "et": str(NOW - 12 * 3600 - 1)}, 400),
        ({"t": "event", "ea": "buy", "et": "now"}, 400),
        ({"t": "event", "ea": "buy", "ms": "wrong"}, 403),
        ({"t": "event", "ea": "buy", "tid": "9"}, 403),
    ],
)
async def test_a_spoilt_form_is_refused(metrica, fields, status):
    assert await collect(metrica, **fields) == status
    assert metrica.events == []


async def test_a_form_is_a_body_and_not_a_query(metrica):
    query = urlencode({"tid": metrica.counter_id, "ms": metrica.ms_token, "t": "event"})
    async with (
        aiohttp.ClientSession(metrica.url) as session,
        session.get(f"/collect?{query}") as response,
    ):
        assert response.status == 405
