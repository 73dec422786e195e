"""One connection without a socket: reads cut anywhere are the same body, whether they are whole chunks or not."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.errors import ProviderBroken
from rivermouth.providers._connection import Connection
from rivermouth.providers._listener import Timeouts

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECES = st.lists(
    st.sampled_from([b"a", b"data: x\n\n", b"\r\n", b"5\r\n12345\r\n", b"0\r\n\r\n", b"z" * 300]), max_size=12
)


class Heard:
    """What came of a body, and in how many pieces."""

    steady = True

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Not looked at."""

    def body(self, data: bytes) -> bool | None:
        """Kept."""
        self.pieces.append(data)
        return None


class Nowhere(asyncio.Transport):
    """A transport that is read by the test alone."""

    def write(self, data: Any) -> None:
        """Goes nowhere."""

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """Nothing is open."""


def chunk(piece: bytes, size: bytes = b"%x") -> bytes:
    """One chunk of a chunked body."""
    return size % len(piece) + b"\r\n" + piece + b"\r\n"


def hear(reads: list[bytes]) -> bytes:
    """What a listener hears of an answer that comes in these reads. Raises: ProviderBroken."""

    async def story() -> bytes:
        connection = Connection(asyncio.get_running_loop(), (False, "model", 80), lambda _: None, lambda _: None)
        connection.connection_made(Nowhere())
        heard = Heard()
        exchange = asyncio.create_task(connection.exchange(b"", heard, Timeouts(5, 5, 5)))
        await asyncio.sleep(0)
        for read in reads:
            connection.data_received(read)
        connection.connection_lost(None)
        await exchange
        return b"".join(heard.pieces)

    return asyncio.run(story())


@given(PIECES, st.lists(st.integers(min_value=0, max_value=4000)), st.data())
def test_a_body_is_the_same_however_its_reads_are_cut(
    pieces: list[bytes], cuts: list[int], data: st.DataObject
) -> None:
    sizes = [data.draw(st.sampled_from([b"%x", b"%X", b"00%x", b"%x;name=value"])) for _ in pieces]
    chunks = [HEAD, *(chunk(piece, size) for piece, size in zip(pieces, sizes, strict=True)), b"0\r\n\r\n"]
    written = b"".join(chunks)
    ends = {sum(map(len, chunks[: place + 1])) for place in range(len(chunks))}
    places = sorted({*cuts, *data.draw(st.sets(st.sampled_from(sorted(ends))))} & set(range(len(written))))
    reads = [
        written[start:end] for start, end in zip([0, *places], [*places, len(written)], strict=True) if start < end
    ]

    assert hear(reads) == b"".join(pieces)


def test_reads_that_only_look_like_whole_chunks_are_taken_for_what_they_are() -> None:
    inside = chunk(b"12345")
    reads = [HEAD, chunk(b"one"), chunk(inside + inside)[:4], inside, inside, b"\r\n", chunk(b"two"), b"0\r\n\r\n"]

    assert hear(reads) == b"one" + inside + inside + b"two"


@pytest.mark.parametrize("wrong", [b"3\r\ntwoXX", b"+3\r\ntwo\r\n", b"0x3\r\ntwo\r\n", b" 3\r\ntwo\r\n"])
def test_a_chunk_that_is_none_breaks_the_answer_off_also_after_good_ones(wrong: bytes) -> None:
    with pytest.raises(ProviderBroken):
        hear([HEAD, chunk(b"one"), chunk(b"one"), wrong, b"0\r\n\r\n"])


def test_whole_chunks_are_heard_without_the_parser() -> None:
    class Untouchable:
        def feed_data(self, data: bytes) -> None:
            raise AssertionError(f"the parser was asked for {data!r}")

    async def story() -> list[bytes]:
        connection = Connection(asyncio.get_running_loop(), (False, "model", 80), lambda _: None, lambda _: None)
        connection.connection_made(Nowhere())
        heard = Heard()
        exchange = asyncio.create_task(connection.exchange(b"", heard, Timeouts(5, 5, 5)))
        await asyncio.sleep(0)
        connection.data_received(HEAD + chunk(b"first"))
        connection.data_received(chunk(b"second"))
        connection._parser = Untouchable()
        connection.data_received(chunk(b"third"))
        exchange.cancel()
        await asyncio.wait([exchange])
        return heard.pieces

    assert asyncio.run(story()) == [b"first", b"second", b"third"]


WHOLE = HEAD + chunk(b"whole") + b"0\r\n\r\n"


def test_a_stop_just_behind_the_end_leaves_alone_whoever_has_the_connection_by_then() -> None:
    async def story() -> list[bytes]:
        kept: list[Connection] = []
        connection = Connection(asyncio.get_running_loop(), (False, "model", 80), kept.append, lambda _: None)
        connection.connection_made(Nowhere())
        first = asyncio.create_task(connection.exchange(b"", Heard(), Timeouts(5, 5, 5)))
        await asyncio.sleep(0)
        heard = Heard()
        second = asyncio.create_task(kept_exchange(kept, heard))
        connection.data_received(WHOLE)
        first.cancel()  # its answer is complete, but it has not been woken yet; the other begins before it is
        await asyncio.wait([first])
        connection.data_received(WHOLE)
        await second
        assert first.cancelled()
        return heard.pieces

    async def kept_exchange(kept: list[Connection], heard: Heard) -> None:
        await kept.pop().exchange(b"", heard, Timeouts(5, 5, 5))

    assert asyncio.run(story()) == [b"whole"]


@pytest.mark.parametrize(
    ("came", "closed"),
    [
        pytest.param(b"", True, id="before the end"),
        pytest.param(WHOLE, False, id="behind the end"),
        pytest.param(b"no HTTP", True, id="behind a fault"),
    ],
)
def test_a_stop_closes_the_connection_unless_the_answer_is_complete(came: bytes, closed: bool) -> None:
    aborts: list[None] = []

    class Watched(Nowhere):
        def abort(self) -> None:
            aborts.append(None)

    async def story() -> bool:
        connection = Connection(asyncio.get_running_loop(), (False, "model", 80), lambda _: None, lambda _: None)
        connection.connection_made(Watched())
        exchange = asyncio.create_task(connection.exchange(b"", Heard(), Timeouts(5, 5, 5)))
        await asyncio.sleep(0)
        if came:
            connection.data_received(came)
        exchange.cancel()
        await asyncio.wait([exchange])
        return exchange.cancelled()

    assert asyncio.run(story())
    assert bool(aborts) == closed
