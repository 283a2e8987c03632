"""A running gateway seen by a real Prometheus: every metric, every query of the dashboard, every rule and runbook query."""

import asyncio
import re
import shlex
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from deploy.grafana import dashboard
from tests.app.processes import until
from tests.deploy.tools import output_of, program

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
DEPLOY = Path(__file__).parents[2] / "deploy"
SILENT = {"ALERTS"}  # no series while nothing is wrong
EDGE = "gateway_edge_"  # the edge's own, which counts in another process


@asynccontextmanager
async def prometheus(folder, target):
    """A Prometheus that scrapes `host:port` every half second, and its address."""
    scrape = {"job_name": "leverage-gateway", "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms", "scrape_timeout": "500ms"},
        "rule_files": [str(DEPLOY / "prometheus" / "rules.yml")],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    listening = re.compile(r"address=(127\.0\.0\.1:[1-9]\d*)")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [program("prometheus", "prometheus"), *arguments, "--web.listen-address=127.0.0.1:0"], stderr=log
        )
        try:
            await until(lambda: listening.search((folder / "log").read_text()), "Prometheus listens")
            yield f"http://{listening.findall((folder / 'log').read_text())[0]}"
        finally:
            process.kill()
            process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(rig, gateway, tmp_path_factory):
    """The address of a Prometheus that has seen the gateway work, and a way to ask it."""
    good, refused = rig.command(), rig.command(account="nobody")
    await rig.ask(good, refused)
    async with (
        prometheus(tmp_path_factory.mktemp("prometheus"), gateway.server.url.removeprefix("http://")) as url,
        aiohttp.ClientSession(url) as session,
    ):

        async def ask(query):
            async with session.get("/api/v1/query", params={"query": query}) as answer:
                said = await answer.json()
                assert said["status"] == "success", (query, said)
                return said["data"]["result"]

        await rig.ask(rig.command(leverage=7))
        yield url, ask


async def found(ask, query):
    """What a query finds, once it finds something."""
    async with asyncio.timeout(20):
        while not (result := await ask(query)):  # noqa: ASYNC110 - Prometheus does not tell
            await asyncio.sleep(0.1)
    return result


async def test_every_query_of_the_dashboard_finds_something(seen):
    _, ask = seen
    for panel in dashboard.panels():
        query = panel.query.replace("$job", ".+").replace("$__rate_interval", "5s")
        if EDGE not in query and not any(query.startswith(name) for name in SILENT):
            assert await found(ask, query), panel.title


async def test_no_rule_fails_and_no_alert_fires_while_all_is_well(seen):
    url, ask = seen
    await found(ask, "gateway:failed:ratio_rate5m")
    async with aiohttp.ClientSession(url) as session, session.get("/api/v1/rules") as answer:
        groups = (await answer.json())["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    firing = [rule["name"] for rule in rules if rule.get("state") == "firing"]
    assert firing in ([], ["GatewayDeadLetters"])  # the unknown account's


async def test_every_page_of_the_runbook_asks_what_can_be_asked(seen, gateway):
    url, _ = seen
    lines = {
        line
        for page in (DEPLOY / "runbook").glob("Gateway*.md")
        for line in page.read_text().splitlines()
        if line.startswith(("promtool ", "curl "))
    }
    assert lines
    for line in sorted(lines):
        command = shlex.split(line.replace("$PROMETHEUS", url).replace("$PROBES", gateway.server.url))
        await asyncio.to_thread(output_of, *command)


async def test_every_metric_of_the_list_is_shown_and_promtool_finds_nothing_to_say(gateway):
    async with aiohttp.ClientSession(gateway.server.url) as session, session.get("/metrics") as answer:
        shown = await answer.text()
    families = set(re.findall(r"^# TYPE (\S+)", shown, re.MULTILINE))
    assert {row.name.removesuffix("_total") for row in gateway.metrics.rows} <= {
        name.removesuffix("_total") for name in families
    }
    for row in gateway.metrics.rows:
        assert row.name.startswith(EDGE) or re.search(rf"^{row.name}(_bucket|_count)?[ {{]", shown, re.MULTILINE), (
            row.name
        )
    checked = await asyncio.to_thread(
        subprocess.run,
        [program("promtool", "prometheus"), "check", "metrics"],
        input=shown.encode(),
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
