"""Health, readiness and metrics, as a probe sees them."""

import asyncio

import httpx
from starlette.applications import Starlette

from rivermouth import metrics
from rivermouth.doors import ops
from rivermouth.errors import ProviderUnreachable
from rivermouth.events import RunStarted, UsageCounted
from rivermouth.messages import Reply
from rivermouth.metrics import Metrics


async def fine() -> str:
    return "SQLite"


async def gone() -> str:
    raise ProviderUnreachable("no connection to the model's server")


async def broken() -> str:
    raise ZeroDivisionError("a secret of ours")


async def hangs() -> str:
    await asyncio.Event().wait()
    return "never"


def get(path: str, meters: Metrics | None = None, **checks: ops.Check) -> httpx.Response:
    app = Starlette(routes=ops.routes(checks, meters or Metrics(), timeout=0.01))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_health_is_plain_ok():
    answer = get("/health")

    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["content-type"].startswith("text/plain")


def test_ready_is_200_and_says_what_answers():
    answer = get("/ready", rows=fine)

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "checks": {"rows": {"ok": True, "detail": "SQLite"}}}


def test_ready_is_503_where_one_check_fails_and_the_others_still_tell():
    answer = get("/ready", rows=fine, model=gone, log=broken, disk=hangs)

    checks = answer.json()["checks"]
    assert answer.status_code == 503
    assert checks["rows"]["ok"] is True
    assert checks["model"] == {
        "ok": False,
        "code": "provider_unreachable",
        "detail": "no connection to the model's server",
    }
    assert checks["log"] == {"ok": False, "code": "internal", "detail": "ZeroDivisionError"}
    assert checks["disk"]["detail"] == "no answer within 0.01 s"


def test_a_load_balancer_may_ask_without_what_all_replicas_share():
    answer = get("/ready?without=model,disk", rows=fine, model=gone, disk=hangs)

    assert answer.status_code == 200
    assert list(answer.json()["checks"]) == ["rows"]


def test_the_first_page_points_to_the_others():
    page = get("/").json()

    assert (page["name"], page["docs"]) == ("rivermouth", "/docs")


def test_metrics_are_those_of_this_app_alone():
    mine, other = Metrics(), Metrics()
    mine.request(dialect="ares", route="/api/chat", status=429)
    answer = get("/metrics", mine)

    assert answer.headers["content-type"] == metrics.CONTENT_TYPE
    assert 'rivermouth_requests_total{dialect="ares",route="/api/chat",status="429"} 1.0' in answer.text
    assert 'rivermouth_rate_limited_total{dialect="ares"} 1.0' in answer.text
    assert b'status="429"' not in other.exposition()


def test_tools_are_counted_by_name_but_a_server_cannot_fill_the_memory_with_names():
    meters = Metrics()
    for number in range(300):
        meters.tool_called(f"files.t{number}", "done", 0.2)
    meters.tool_called("files.t7", "failed", 0.4)

    text = meters.exposition().decode()
    assert 'rivermouth_tool_calls_total{outcome="failed",tool="files.t7"} 1.0' in text
    assert 'rivermouth_tool_seconds_count{tool="files.t7"} 2.0' in text
    assert 'rivermouth_tool_calls_total{outcome="done",tool="other"} 200.0' in text
    assert text.count("rivermouth_tool_calls_total{") == 102


def test_a_run_is_alive_until_it_has_ended_and_its_tokens_are_counted_by_origin():
    started = RunStarted(100.0, "r", "ares", "c", "m", "u", "o", "ann", "assistant", "tiny")
    meters = Metrics()
    meters.run_began(started)
    alive = meters.exposition()
    meters.run_ended(
        Reply(
            started=started,
            first_token_at=100.5,
            ended_at=101.0,
            outcome="completed",
            usage=UsageCounted(1.0, 9, 5, "counted"),
        )
    )

    after = meters.exposition()
    assert b"rivermouth_live_runs 1.0" in alive
    assert b"rivermouth_live_runs 0.0" in after
    assert b'rivermouth_runs_total{dialect="ares",outcome="completed"} 1.0' in after
    assert b'rivermouth_tokens_total{direction="completion",origin="counted"} 5.0' in after
    assert b'rivermouth_time_to_first_token_seconds_sum{dialect="ares"} 0.5' in after
