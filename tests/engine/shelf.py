"""Files on a shelf: documents of so many pages, put straight into the rows, and an embedder that knows a few words."""

from array import array
from collections.abc import Sequence

from rivermouth.documents import File, Section, Vectors
from rivermouth.errors import ProviderUnreachable
from rivermouth.retrieval.split import passages
from rivermouth.stores import Rows

PAGES = {
    "rivers": (
        "The Severn bore is a wave that travels up the estuary.",
        "Herons nest in the reeds between March and July.",
    ),
    "invoices": ("Invoices are paid within thirty days.", "Late payment costs two percent a month."),
}
MEANINGS = ("heron bird nest", "invoice bill pay payment", "wave bore tide water")
"""What the embedder knows: words that mean the same."""


class Meanings:
    """An embedder: a direction for each meaning. away: it cannot be reached."""

    name = "meanings"

    def __init__(self) -> None:
        self.away = False
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.away:
            raise ProviderUnreachable("no connection to the embeddings server")
        self.asked += texts
        rows = array("f")
        for text in texts:
            counts = [sum(word in text.lower() for word in meaning.split()) for meaning in MEANINGS]
            length = sum(count * count for count in counts) ** 0.5
            rows.extend([count / length for count in counts] if length else [0.0] * len(counts))
        return Vectors(self.name, len(MEANINGS), rows.tobytes())

    async def close(self) -> None:
        pass


async def put(
    rows: Rows, id: str, *pages: str, owner: str = "ann", embedder: Meanings | None = None, filename: str = ""
) -> None:
    """A file of these pages, indexed."""
    sections = [Section(str(number), text) for number, text in enumerate(pages, start=1)]
    await put_sections(rows, filename or f"{id}.pdf", sections, id=id, owner=owner, embedder=embedder)


async def put_sections(
    rows: Rows,
    filename: str,
    sections: list[Section],
    *,
    id: str = "",
    owner: str = "ann",
    embedder: Meanings | None = None,
) -> None:
    """A file of these sections, indexed; its id is its name unless one is given."""
    id = id or filename
    made = {"owner": owner, "filename": filename, "type": "pdf", "status": "embed_file_started"}
    await rows.add_file(File(id=id, size=1, checksum=id, created=1.0, **made))  # type: ignore[arg-type]
    found = list(passages(sections))
    vectors = None if embedder is None else await embedder.embed([one.text for one in found])
    await rows.add_passages(id, 0, found, vectors)
    await rows.finish_file(id, "success", passages=len(found))


async def put_all(rows: Rows, embedder: Meanings | None = None) -> None:
    """The shelf's own documents."""
    for id, pages in PAGES.items():
        await put(rows, id, *pages, embedder=embedder)
