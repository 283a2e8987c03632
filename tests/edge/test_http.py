"""Snapshots and commands over HTTP, against a real broker."""

import asyncio

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from tests.edge.rig import caller, command, until

pytestmark = pytest.mark.kafka


async def answer_of(request):
    async with request as response:
        return response.status, await response.json()


async def published(bootstrap, topics):
    """The commands that are on the topic, by what a reader sees now."""
    consumer = AIOKafkaConsumer(topics.commands, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [(msgspec.json.decode(record.value), dict(record.headers)) for record in records]
        return found
    finally:
        await consumer.stop()


async def test_a_command_is_taken_or_answered_and_a_snapshot_has_it(http, echo):
    taken = command("5", symbol="ETHUSDT")
    assert await answer_of(http.post("/v1/commands", json=taken)) == (202, {"accepted": [taken["command_id"]]})
    asked = command("20")
    status, body = await answer_of(http.post("/v1/commands?wait=30", json=asked))
    assert (status, body["accepted"]) == (200, [asked["command_id"]])
    assert (body["events"][0]["type"], body["events"][0]["leverage"]) == ("LeverageChanged", "20")
    status, snapshot = await answer_of(http.get("/v1/leverage?lane=BTCUSDT"))
    assert (status, snapshot["lanes"]) == (200, body["events"])
    assert isinstance(snapshot["position"], str)


async def test_the_same_key_twice_is_one_call_one_event_and_the_same_answer(http, echo, kafka_bootstrap, topics):
    asked = command("7")
    key = asked.pop("command_id")
    headers = {"Idempotency-Key": key}
    answers = await asyncio.gather(
        *(answer_of(http.post("/v1/commands?wait=30", json=asked, headers=headers)) for _ in range(3))
    )
    answers.append(await answer_of(http.post("/v1/commands?wait=30", json=asked, headers=headers)))
    assert {status for status, _ in answers} == {200}
    assert all(body == answers[0][1] for _, body in answers)
    assert answers[0][1]["events"][0]["command_id"] == key
    assert [found["command_id"] for found, _ in await published(kafka_bootstrap, topics)] == [key]


async def test_a_list_is_taken_or_refused_as_a_whole(http, echo, kafka_bootstrap, topics):
    right, wrong, stranger = command("3"), command("2.5"), {"type": "SetLeverage"}
    status, body = await answer_of(http.post("/v1/commands", json=[right, wrong, stranger]))
    assert (status, body["code"]) == (422, "invalid")
    assert [(one["index"], one["code"]) for one in body["refused"]] == [(1, "invalid"), (2, "invalid")]
    assert "integer" in body["message"]
    assert await published(kafka_bootstrap, topics) == []
    both = [command("3"), command("4")]
    status, body = await answer_of(http.post("/v1/commands?wait=30", json=both))
    assert (status, body["accepted"]) == (200, [one["command_id"] for one in both])
    assert [event["leverage"] for event in body["events"]] == ["3", "4"]


PAST = "2020-01-01T00:00:00.000Z"


WRONG = [
    (command("0"), "invalid", "above 0"),
    (command("20", expires_at=PAST), "expired", "expired at 2020"),
    (command("20", issued_at=PAST), "expired", "deadline"),
    (command("20", account="no: account"), "invalid", "account"),
    ({**command("20"), "command_id": None}, "invalid", "command_id"),
    ({**command("20"), "target": {"venue": "okx", "margin_mode": "cross"}}, "invalid", "either instrument or currency"),
    ([], "invalid", "empty"),
    ("text", "invalid", "Expected `object`"),
]


async def test_what_breaks_a_rule_is_refused_in_the_pipelines_words(http):
    for wrong, code, says in WRONG:
        status, body = await answer_of(http.post("/v1/commands", json=wrong))
        assert (status, body["code"]) == (422, code)
        assert says in body["message"]


async def test_who_may_what_is_checked_at_the_door(edge, http, kafka_bootstrap, topics):
    url = edge.server.url
    async with caller(url, None) as nobody, caller(url, "reader") as reader, caller(url, "one") as one:
        assert (await answer_of(nobody.get("/v1/leverage")))[0] == 401
        assert (await answer_of(nobody.get("/v1/leverage", headers={"Authorization": "Bearer wrong"})))[0] == 401
        assert (await answer_of(reader.post("/v1/commands", json=command())))[0] == 403
        assert (await answer_of(one.post("/v1/commands", json=command(account="desk-2"))))[0] == 403
        assert (await answer_of(one.get("/v1/leverage?account=desk-2")))[0] == 403
        assert (await answer_of(one.get("/v1/leverage?account=desk-1")))[0] == 200
        assert (await answer_of(one.post("/v1/commands", json=command(redrive_of="x"))))[0] == 403
        assert (await answer_of(http.get("/v1/leverage?acount=desk-1")))[0] == 400
        assert (await answer_of(http.get("/v1/leverage", headers={"Origin": "https://evil.example"})))[0] == 403
        assert (await answer_of(nobody.get("/v1/nothing", headers={"Origin": "https://evil.example"})))[0] == 403
    assert await published(kafka_bootstrap, topics) == []


async def test_a_reader_gets_what_its_token_allows_and_filters_are_joined(edge, http, echo):
    for account, symbol in (("desk-1", "BTCUSDT"), ("desk-1", "ETHUSDT"), ("desk-2", "BTCUSDT")):
        asked = command("9", account=account, symbol=symbol)
        assert (await answer_of(http.post("/v1/commands?wait=30", json=asked)))[0] == 200

    async def lanes(session, query=""):
        _, body = await answer_of(session.get(f"/v1/leverage{query}"))
        return sorted((row["account"], row["lane"]) for row in body["lanes"])

    assert len(await lanes(http)) == 3
    assert await lanes(http, "?account=desk-1&account=desk-2&lane=BTCUSDT") == [
        ("desk-1", "BTCUSDT"),
        ("desk-2", "BTCUSDT"),
    ]
    assert await lanes(http, "?venue=okx") == []
    async with caller(edge.server.url, "one") as one:
        assert await lanes(one) == [("desk-1", "BTCUSDT"), ("desk-1", "ETHUSDT")]


async def test_probes_and_metrics_need_no_token_and_ready_waits_for_the_state(edge, http):
    async with caller(edge.server.url, None) as nobody:
        for path in ("/livez", "/readyz", "/metrics"):
            async with nobody.get(path) as response:
                assert response.status == 200
        async with nobody.get("/metrics") as response:
            assert "gateway_edge_lag_seconds" in await response.text()


async def test_messagepack_commands_are_taken_and_traces_passed_on(http, kafka_bootstrap, topics):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"Content-Type": "application/msgpack", "traceparent": trace}
    asked = command("11")
    status, _ = await answer_of(http.post("/v1/commands", data=msgspec.msgpack.encode(asked), headers=headers))
    assert status == 202
    ((found, headers),) = await published(kafka_bootstrap, topics)
    assert (found["command_id"], headers["traceparent"].decode()) == (asked["command_id"], trace)


async def test_a_snapshot_of_many_lanes_comes_whole(edge, http, echo):
    asked = [command("9", symbol=f"S{number}USDT") for number in range(600)]
    status, _ = await answer_of(http.post("/v1/commands?wait=60", json=asked))
    assert status == 200
    await until(lambda: edge.log.hub.lane_count == 600)
    _, body = await answer_of(http.get("/v1/leverage"))
    assert len({row["lane"] for row in body["lanes"]}) == 600
