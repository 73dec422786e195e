"""Asks the questions of `questions.tsv` of the documents in `texts/`, and prints a table.

    python -m bench.retrieval                      words alone
    python -m bench.retrieval --meaning            and with MiniLM (the extra `embeddings`), and both
    python -m bench.retrieval --folder FOLDER      … with the model in that folder
    python -m bench.retrieval --fill 20000         among so many passages of noise, with times
    python -m bench.retrieval --misses             and which questions do not find their page

With DATABASE_URL the rows are in that PostgreSQL, which should be empty.
"""

import argparse
import asyncio
import itertools
import os
import random
import re
import statistics
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.retrieval.write import TEXTS, write_all
from rivermouth.clock import SystemClock
from rivermouth.documents import File, Passage, Vectors
from rivermouth.engine.library import Library, Scope
from rivermouth.engine.nearest import Nearest
from rivermouth.events import Source
from rivermouth.retrieval import minilm, parse
from rivermouth.retrieval.embed import Embedder
from rivermouth.settings import Search
from rivermouth.stores import Rows
from rivermouth.stores.postgres import PostgresRows
from rivermouth.stores.rows import SqliteRows

OWNER = ("reader",)
EVERYTHING = Scope(OWNER)
BEST = 10
SHARED = 2
"""Documents that a word stands in, to be one of the noise, too."""
FILL_FILE = 500
"""Passages in each file of noise."""


class Question(NamedTuple):
    """holds: a phrase that stands in the passage with the answer; file: `-`, where nothing answers it."""

    file: str
    place: str
    holds: str
    text: str

    def rank(self, found: Sequence[Source]) -> int | None:
        """Where in `found` the answer is, from 1."""
        return next((number for number, source in enumerate(found, start=1) if self._is(source)), None)

    def _is(self, source: Source) -> bool:
        return (source.filename, source.place) == (self.file, self.place) and self.holds in " ".join(
            source.content.split()
        )


Ask = Callable[[str], Awaitable[list[Source]]]


async def main() -> None:
    options = _options()
    questions = [
        Question(*line.split("\t")) for line in (TEXTS.parent / "questions.tsv").read_text("utf-8").splitlines()
    ]
    embedder = await minilm.open_local(options.folder, threads=2) if options.meaning or options.folder else None
    with tempfile.TemporaryDirectory() as folder:
        rows = await _open(Path(folder))
        passages = await _index(rows, Path(folder), embedder)
        noise = await _fill(rows, options.fill, embedder) if options.fill else 0
        print(f"{len(list(TEXTS.glob('*.txt')))} documents, {passages} passages, and {noise} of noise; {rows.name}\n")
        print("| search | recall@5 | recall@1 | MRR | found without an answer | ms median | ms p95 | ms of CPU |")
        print("|---|---|---|---|---|---|---|---|")
        for name, ask in _ways(rows, embedder).items():
            await _measure(name, ask, questions, misses=options.misses)
        await rows.close()
    if embedder is not None:
        await embedder.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.retrieval")
    parser.add_argument("--meaning", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--fill", type=int, default=0)
    parser.add_argument("--misses", action="store_true")
    return parser.parse_args()


async def _open(folder: Path) -> SqliteRows | PostgresRows:
    url = os.environ.get("DATABASE_URL")
    return SqliteRows(folder / "rows.db", SystemClock()) if not url else await PostgresRows.open(url, SystemClock())


def _ways(rows: Rows, embedder: Embedder | None) -> dict[str, Ask]:
    """Each way to search."""
    search = Search(passages=BEST)
    words = Library(rows, search)
    ways: dict[str, Ask] = {"words": lambda text: words.search(EVERYTHING, text)}
    if embedder is not None:
        both, nearest = Library(rows, search, embedder), Nearest(rows, embedder, 2**30)

        async def meaning(text: str) -> list[Source]:
            places = await nearest.find(OWNER, await words.files(EVERYTHING), text, BEST)
            hits = await rows.hits(OWNER, places)
            return [Source(f"{hit.file}:{hit.number}", hit.filename, hit.place, hit.text, hit.type) for hit in hits]

        ways |= {"meaning": meaning, "both": lambda text: both.search(EVERYTHING, text)}
    return ways


async def _measure(name: str, ask: Ask, questions: list[Question], *, misses: bool) -> None:
    ranks, none_found, seconds, worked = [], [], [], []
    await ask(questions[0].text)  # vectors are fetched, pages are read
    for question in questions:
        began, worked_before = time.perf_counter(), time.process_time()
        found = await ask(question.text)
        seconds.append(time.perf_counter() - began)
        worked.append(time.process_time() - worked_before)
        if question.file == "-":
            none_found.append(len(found[:5]))
            continue
        ranks.append(question.rank(found))
        if misses and (ranks[-1] or BEST) > 5:
            print(f"<!-- {name}: {question.text} ({question.file} {question.place}): {ranks[-1]} -->")
    within = [sum(rank is not None and rank <= depth for rank in ranks) / len(ranks) for depth in (5, 1)]
    mrr = statistics.fmean(1 / rank if rank else 0.0 for rank in ranks)
    times = sorted(1000 * one for one in seconds)
    slow = times[int(len(times) * 0.95)]
    print(
        f"| {name} | {within[0]:.3f} | {within[1]:.3f} | {mrr:.3f} | {statistics.fmean(none_found):.1f} of 5 "
        f"| {statistics.median(times):.1f} | {slow:.1f} | {1000 * statistics.median(worked):.1f} |"
    )


async def _index(rows: Rows, folder: Path, embedder: Embedder | None) -> int:
    """All documents, read as the server reads them; how many passages they are."""
    total = 0
    for path in write_all(folder):
        total += await _add(rows, path, embedder)
    return total


async def _add(rows: Rows, path: Path, embedder: Embedder | None) -> int:
    first = 0
    await _begin(rows, path.name)
    async for batch in parse.read(path, path.suffix[1:], parse.Limits()):  # type: ignore[arg-type]
        if isinstance(batch, parse.Batch) and batch.passages:
            made = await embedder.embed([one.text for one in batch.passages]) if embedder is not None else None
            await rows.add_passages(path.name, first, batch.passages, made)
            first += len(batch.passages)
    await rows.finish_file(path.name, "success", passages=first)
    return first


async def _begin(rows: Rows, name: str) -> None:
    await rows.add_file(
        File(
            id=name,
            owner=OWNER[0],
            filename=name,
            type="txt",
            status="embed_file_started",
            size=1,
            checksum=name,
            created=time.time(),
        )
    )


async def _fill(rows: Rows, number: int, embedder: Embedder | None) -> int:
    """Files of noise: half of their words are those that several of the documents have, as often as there; the other half,
    some of them common and most of them rare, is nobody's."""
    chance = random.Random(4)
    texts = [re.findall(r"\w+", path.read_text("utf-8")) for path in TEXTS.glob("*.txt")]
    shared = {
        word for word, number in Counter(word for text in texts for word in set(text)).items() if number >= SHARED
    }
    known = [word for text in texts for word in text if word in shared]
    strange = [
        "".join(chance.choices("aeiou", k=1) + chance.choices("bdfgklmnprst", k=1)) * 2 + str(n) for n in range(20_000)
    ]
    often = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(strange))))
    for file in range(number // FILL_FILE):
        name = f"noise{file}.txt"
        await _begin(rows, name)
        for first in range(0, FILL_FILE, 100):
            words = [chance.choices(known, k=65) + chance.choices(strange, cum_weights=often, k=65) for _ in range(100)]
            passages = [
                Passage("1", first + at, " ".join(chance.sample(one, len(one)))) for at, one in enumerate(words)
            ]
            await rows.add_passages(name, first, passages, _noise(chance, embedder, len(passages)))
        await rows.finish_file(name, "success", passages=FILL_FILE)
    return number // FILL_FILE * FILL_FILE


def _noise(chance: random.Random, embedder: Embedder | None, number: int) -> Vectors | None:
    """Vectors that point anywhere: only the time that they take to compare is true."""
    if embedder is None:
        return None
    made = array("f")
    for _ in range(number):
        vector = [chance.gauss(0, 1) for _ in range(384)]
        length = sum(value * value for value in vector) ** 0.5
        made.extend(value / length for value in vector)
    return Vectors(embedder.name, 384, made.tobytes())


if __name__ == "__main__":
    asyncio.run(main())
