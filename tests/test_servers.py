"""The servers that the tests start."""

from pathlib import Path

from tests.servers import postgres, redis


def test_a_redis_that_is_killed_comes_back_at_the_same_address(tmp_path: Path) -> None:
    with redis(tmp_path / "redis") as server:
        address = server.url
        server.kill()
        server.start()

        assert server.url == address
        assert server._answers()


def test_a_postgresql_that_is_killed_comes_back_at_the_same_address(tmp_path: Path) -> None:
    with postgres(tmp_path / "postgres") as server:
        address = server.createdb("one")
        server.kill()
        server.start()

        assert server.url("one") == address
        assert server._answers()
