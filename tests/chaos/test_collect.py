"""A history is read to its very end: past markers, without what was aborted, with the whole journal."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer

from schemas.topics import Topics
from tests.chaos.checker import check
from tests.chaos.collect import collect, read_journal, read_topic
from tests.chaos.generator import Generator, Plan
from tests.chaos.perfect import Perfect

NOON = 1_795_262_400.0
PAGE = 10


@asynccontextmanager
async def simulator(gateway: Perfect):
    """The two control pages of the simulator, over a journal made on paper, a few entries a page."""

    async def journal(request: web.Request) -> web.Response:
        since = int(request.query["since"])
        entries = [entry(call) for call in gateway.calls[since : since + PAGE]]
        return web.json_response({"entries": entries, "next": since + len(entries)})

    async def state(_: web.Request) -> web.Response:
        return web.json_response({key: str(value) for key, value in gateway.final.items()})

    app = web.Application()
    app.router.add_get("/_control/journal", journal)
    app.router.add_get("/_control/state", state)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def entry(call: Any) -> dict[str, Any]:
    return {name: str(value) if name == "value" else value for name, value in fields(call).items()}


def fields(call: Any) -> dict[str, Any]:
    return {name: getattr(call, name) for name in call.__struct_fields__}


def perfect_run(commands: int) -> Perfect:
    generator, gateway = Generator(Plan(), 11), Perfect(NOON)
    for _ in range(commands):
        made = generator.next(gateway.now)
        gateway.settle(gateway.ask(made), made.kind)
    return gateway


@asynccontextmanager
async def producer(bootstrap: str, **options: Any):
    made = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    await made.start()
    yield made
    await made.stop()


async def write(to: AIOKafkaProducer, topic: str, records: list[Any]) -> None:
    sent = [
        await to.send(
            topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
        )
        for record in records
    ]
    await asyncio.gather(*sent)


async def test_the_journal_is_read_page_by_page_to_its_end():
    gateway = perfect_run(60)
    async with simulator(gateway) as url, aiohttp.ClientSession() as http:
        assert await read_journal(http, url) == tuple(gateway.calls)
    assert len(gateway.calls) > 2 * PAGE


async def test_a_journal_that_forgot_its_beginning_is_no_history():
    gateway = perfect_run(20)
    del gateway.calls[0]
    async with simulator(gateway) as url, aiohttp.ClientSession() as http:
        with pytest.raises(ValueError, match="begins with entry 2"):
            await read_journal(http, url)


@pytest.mark.kafka
async def test_a_run_is_collected_whole_and_the_checker_passes_it(kafka_bootstrap: str, topics: Topics):
    gateway = perfect_run(300)
    async with producer(kafka_bootstrap) as plain:
        await write(plain, topics.commands, gateway.commands)
    async with producer(kafka_bootstrap, transactional_id=f"{topics.events}-test") as transactional:
        async with transactional.transaction():
            await write(transactional, topics.events, gateway.events)
            await write(transactional, topics.state, gateway.state)
        async with transactional.transaction():
            await write(transactional, topics.dead_letters, gateway.dead_letters)
    async with simulator(gateway) as url:
        history = await collect(kafka_bootstrap, topics, url, seed=11)

    assert [len(part) for part in (history.commands, history.events, history.state, history.dead_letters)] == [
        len(part) for part in (gateway.commands, gateway.events, gateway.state, gateway.dead_letters)
    ]
    assert history.calls == tuple(gateway.calls)
    assert history.final == {key: Decimal(value) for key, value in gateway.final.items()}
    assert check(history) == []


@pytest.mark.kafka
async def test_what_was_aborted_is_not_read_and_does_not_stop_the_reading(kafka_bootstrap: str, topics: Topics):
    gateway = perfect_run(20)
    async with producer(kafka_bootstrap, transactional_id=f"{topics.events}-test") as transactional:
        async with transactional.transaction():
            await write(transactional, topics.events, gateway.events)
        await transactional.begin_transaction()
        await write(transactional, topics.events, gateway.events)
        await transactional.abort_transaction()
        read = await read_topic(kafka_bootstrap, topics.events)
    assert len(read) == len(gateway.events)


@pytest.mark.kafka
async def test_an_open_transaction_is_waited_for(kafka_bootstrap: str, topics: Topics):
    gateway = perfect_run(20)
    async with producer(kafka_bootstrap, transactional_id=f"{topics.events}-test") as transactional:
        await transactional.begin_transaction()
        await write(transactional, topics.events, gateway.events)
        reading = asyncio.create_task(read_topic(kafka_bootstrap, topics.events))
        done, _ = await asyncio.wait([reading], timeout=1.0)
        assert not done
        await transactional.commit_transaction()
        assert len(await reading) == len(gateway.events)
