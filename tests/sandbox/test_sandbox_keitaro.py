"""The stand-in for Keitaro: what makes a conversion, and what it tells traffic sources."""

import aiohttp
import pytest
from aiohttp import web

from gp_aiogram.sandbox import Fault, KeitaroConversion, KeitaroSandbox


@pytest.fixture
async def keitaro(clock):
    async with KeitaroSandbox("key", clicks={"s1": "ad-1", "s2": "ad-2"}, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def client(keitaro):
    async with aiohttp.ClientSession(keitaro.url) as session:
        yield session


async def tell(client, *, path="/key/postback", method="GET", **kwargs):
    async with client.request(method, path, **kwargs) as response:
        return response.status, await response.text()


def told(keitaro):
    return [(each.subid, each.status, each.tid, each.payout) for each in keitaro.events]


async def test_a_postback_is_a_conversion(keitaro, client, clock):
    params = {
        "subid": "s1",
        "status": "lead",
        "payout": "9.90",
        "currency": "EUR",
        "tid": "t1",
        "sub_id_3": "x",
        "unknown": "y",
    }
    assert await tell(client, params=params) == (200, "Success")
    (conversion,) = await keitaro.wait_for(1)
    assert conversion == KeitaroConversion(
        subid="s1",
        status="lead",
        tid="t1",
        payout="9.90",
        currency="EUR",
        sub_ids={"sub_id_3": "x"},
        at=clock.now,
    )
    assert keitaro.requests[0].body == params


async def test_a_form_is_taken_as_well(keitaro, client):
    await tell(client, method="POST", data={"subid": "s1", "status": "rejected"})
    assert told(keitaro) == [("s1", "rejected", None, None)]


async def test_without_a_status_it_is_a_sale(keitaro, client):
    await tell(client, params={"subid": "s1"})
    await tell(client, params={"subid": "s2", "status": ""})
    assert [each.status for each in keitaro.events] == ["sale", "sale"]


async def test_own_words_are_declared_with_the_postback(keitaro, client):
    for word in ("reg", "dep", "trash"):
        params = {
            "subid": "s1",
            "tid": word,
            "status": word,
            "lead_status": "reg,registration",
            "sale_status": "dep",
            "rejected_status": "trash",
        }
        await tell(client, params=params)
    assert [each.status for each in keitaro.events] == ["lead", "sale", "rejected"]


async def test_200_does_not_mean_matched(keitaro, client):
    for params in ({"subid": "other"}, {"subid": "{subid}"}, {"status": "lead"}, {}):
        assert await tell(client, params=params) == (200, "Success")
    assert keitaro.events == []
    assert [reason for reason, _ in keitaro.ignored] == [
        "SubID not found: other",
        "SubID not found: {subid}",
        "no subid",
        "no subid",
    ]


async def test_an_unknown_status_makes_no_conversion(keitaro, client):
    await tell(client, params={"subid": "s1", "status": "first_dep"})
    assert keitaro.events == []
    assert keitaro.ignored[0][0] == "unknown status: first_dep"


async def test_the_same_transaction_changes_and_another_is_another(keitaro, client):
    for status, tid, payout in (
        ("lead", "t1", "0"),
        ("sale", "t1", "10"),
        ("sale", "t1", "10"),
        ("sale", "t2", "5"),
        ("rejected", "t1", None),
    ):
        params = {"subid": "s1", "status": status, "tid": tid}
        await tell(client, params=params if payout is None else {**params, "payout": payout})
    assert told(keitaro) == [("s1", "rejected", "t1", "10"), ("s1", "sale", "t2", "5")]


async def test_a_rebill_needs_a_transaction_of_its_own(keitaro, client):
    for tid in ("t1", "t1", "t2", None):
        status = "sale" if not keitaro.events else "rebill"
        params = {"subid": "s1", "status": status}
        await tell(client, params=params if tid is None else {**params, "tid": tid})
    assert told(keitaro) == [("s1", "sale", "t1", None), ("s1", "rebill", "t2", None)]
    assert [reason for reason, _ in keitaro.ignored] == [
        "a rebill needs a tid of its own: t1 is taken",
        "a rebill needs a tid",
    ]


async def test_a_repeated_rebill_counts_once(keitaro, client):
    for _ in range(2):
        await tell(client, params={"subid": "s1", "status": "rebill", "tid": "t2"})
    assert told(keitaro) == [("s1", "rebill", "t2", None)]


async def test_the_answer_is_what_return_says(client):
    assert await tell(client, params={"subid": "s1", "return": "OK"}) == (200, "OK")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/other/postback"), ("GET", "/key"), ("PUT", "/key/postback"), ("GET", "/postback")],
)
async def test_another_address_is_not_found(client, method, path):
    status, _ = await tell(client, method=method, path=path, params={"subid": "s1"})
    assert status == 404


async def test_any_click_exists_unless_told_otherwise():
    async with KeitaroSandbox() as keitaro, aiohttp.ClientSession(keitaro.url) as client:
        await tell(client, path=f"/{keitaro.key}/postback", params={"subid": "whatever"})
        assert [each.subid for each in keitaro.events] == ["whatever"]


async def test_it_fails_on_demand(keitaro, client):
    keitaro.fail(Fault.status(502), when=lambda params: params["status"] == "sale")
    assert (await tell(client, params={"subid": "s1", "status": "lead"}))[0] == 200
    assert (await tell(client, params={"subid": "s1", "status": "sale"}))[0] == 502
    assert (await tell(client, params={"subid": "s1", "status": "sale"}))[0] == 200


@pytest.fixture
async def source():
    """A traffic source that notes the addresses it is called by."""
    called = []

    async def answer(request):
        called.append(request.raw_path)
        return web.Response(status=202)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", called
    await runner.cleanup()


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("/pb?cid={external_id}&s={status}", "/pb?cid=ad-1&s=lead"),
        ("/pb?g={status:lead=install sale=bill}", "/pb?g=install"),
        ("/pb?g={status:sale=bill}", "/pb?g=lead"),
        ("/pb?r={revenue}&c={currency}&t={tid}", "/pb?r=9.90&c=EUR&t=a%20b"),
        ("/{subid}/pb?x={sub_id_3}&y={sub_id_4}", "/s1/pb?x=k%26v&y="),
        ("/pb?x={_sub_id_3}", "/pb?x=k&v"),
        ("/pb?x={country}", "/pb?x={country}"),
    ],
)
async def test_it_tells_a_traffic_source(keitaro, client, source, template, expected):
    params = {
        "subid": "s1",
        "status": "lead",
        "payout": "9.90",
        "currency": "EUR",
        "tid": "a b",
        "sub_id_3": "k&v",
    }
    await tell(client, params=params)
    origin, called = source
    assert await keitaro.send_postback(f"{origin}{template}", keitaro.events[0]) == 202
    assert [path.replace("%7B", "{").replace("%7D", "}") for path in called] == [expected]
