"""`knowbase`: files and collections. Source: contracts/knowbase.md, "Siblings"."""

from typing import Annotated

from fastapi import Depends, Path
from pydantic import Field

from rivermouth.clock import iso_z
from rivermouth.documents import Collection, File, Room
from rivermouth.doors.siblings._asked import Caller, Given, Json, Limit, Name, Offset, Services, Taken, Use
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.doors.siblings._upload import Arriving, Upload
from rivermouth.engine.auth import Principal
from rivermouth.engine.intake import Intake
from rivermouth.errors import NotFound

ID = "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"
MOST = 1000
"""Files of one collection."""


class Received(Given):
    """status: `processing` until the file can be searched; of a file that was there already, what it has come to."""

    message: Annotated[str, Field(examples=["The file is being processed."])]
    file_id: Annotated[str, Field(examples=[ID])]
    status: Annotated[str, Field(examples=["processing"])]


class Entry(Given):
    """A file. progress: 0 to 1. summary: its first sentences, null until it is read. errors: why it could not be."""

    id: Annotated[str, Field(examples=[ID])]
    filename: Annotated[str, Field(examples=["rivers.pdf"])]
    type: Annotated[str, Field(examples=["pdf"], description="pdf, docx, html, md, txt, csv or audio; by its content.")]
    status: Annotated[
        str, Field(examples=["success"], description="embed_file_started, transcribe_file_started, success or failure.")
    ]
    file_size: Annotated[int, Field(examples=[48213])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]
    summary: Annotated[str | None, Field(examples=["A river mouth is where a river ends."])]
    errors: Annotated[list[str], Field(examples=[[]])]
    progress: Annotated[float, Field(examples=[1.0])]


class Entries(Given):
    """The caller's files, newest first."""

    files: list[Entry]


class Summary(Given):
    """The first sentences of a file, at most 600 characters, as they stand there; empty where it could not be read."""

    file_id: Annotated[str, Field(examples=[ID])]
    summary: Annotated[str | None, Field(examples=["A river mouth is where a river ends."])]
    status: Annotated[str, Field(examples=["ready"], description="ready or processing.")]


class Told(Given):
    """That it is done."""

    message: Annotated[str, Field(examples=["The file is deleted."])]


class NewCollection(Taken):
    """A collection to make of files that are there."""

    name: Annotated[Name, Field(description="What lists show.", examples=["Rivers"])]
    file_ids: Annotated[list[str], Field(max_length=MOST, description="The caller's files.", examples=[[]])] = []


class OneCollection(Given):
    """A collection and its files, in the order they were given."""

    id: Annotated[str, Field(examples=[ID])]
    name: Annotated[str, Field(examples=["Rivers"])]
    file_ids: Annotated[list[str], Field(examples=[[ID]])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]


class Collections(Given):
    """The caller's collections, newest first."""

    collections: list[OneCollection]


Member = Annotated[Principal, Depends(Caller("knowbase", "token"))]
FileId = Annotated[str, Path(description="The file's id.", examples=[ID])]
CollectionId = Annotated[str, Path(description="The collection's id.", examples=[ID])]


async def upload(use: Use, who: Member, arriving: Annotated[Arriving, Depends(Upload())]) -> Received:
    """Give a file: PDF, DOCX, HTML, Markdown, CSV, text or audio. The same file again is recognised."""
    intake = _intake(use)
    with intake.incoming() as incoming:
        name = await arriving.into(incoming, intake.most)
        room = Room(use.settings.limits.files, use.settings.limits.files_bytes)
        file, new = await intake.keep(incoming, who.id, name, room)
    if new:
        return Received(message="The file is being processed.", file_id=file.id, status="processing")
    if file.finished:
        told = f"The file was there already, as {file.filename!r}."
        return Received(message=told, file_id=file.id, status=file.status)
    told = f"The file was there already, as {file.filename!r}, and is being processed."
    return Received(message=told, file_id=file.id, status="processing")


async def files(use: Use, who: Member, limit: Limit = 1000, offset: Offset = 0) -> Entries:
    """The caller's files, newest first."""
    return Entries(files=[_entry(file) for file in await use.rows.files(who.owners, limit, offset)])


async def file(use: Use, who: Member, id: FileId) -> Entry:
    """A file, and how far it has been processed."""
    return _entry(await use.rows.file(who.owners, id))


async def delete(use: Use, who: Member, id: FileId) -> Told:
    """Delete a file with all that was made of it. It can be deleted while it is processed, too."""
    await _intake(use).delete(who.owners, id)
    return Told(message="The file is deleted.")


async def summary(use: Use, who: Member, id: FileId) -> Summary:
    """The first sentences of a file; no model is asked."""
    found = await use.rows.file(who.owners, id)
    if not found.finished:
        return Summary(file_id=found.id, summary=None, status="processing")
    return Summary(file_id=found.id, summary=found.summary or "", status="ready")


async def make_collection(
    use: Use, who: Member, body: Annotated[NewCollection, Depends(Json(NewCollection))]
) -> OneCollection:
    """Put files together under a name, to ask about them by `collection_id`."""
    return _collection(await use.rows.add_collection(who.owners, body.name, body.file_ids))


async def collections(use: Use, who: Member, limit: Limit = 1000, offset: Offset = 0) -> Collections:
    """The caller's collections, newest first."""
    found = await use.rows.collections(who.owners, limit, offset)
    return Collections(collections=[_collection(one) for one in found])


async def collection(use: Use, who: Member, id: CollectionId) -> OneCollection:
    """A collection, and which files are in it."""
    return _collection(await use.rows.collection(who.owners, id))


async def delete_collection(use: Use, who: Member, id: CollectionId) -> Told:
    """Delete a collection; its files stay."""
    await use.rows.delete_collection(who.owners, id)
    return Told(message="The collection is deleted.")


def _intake(use: Services) -> Intake:
    assert use.intake is not None, "whoever serves has a place for files"
    return use.intake


def _entry(file: File) -> Entry:
    return Entry(
        id=file.id,
        filename=file.filename,
        type=file.type,
        status=file.status,
        file_size=file.size,
        created_at=iso_z(file.created),
        summary=file.summary,
        errors=file.errors,
        progress=file.progress,
    )


def _collection(found: Collection) -> OneCollection:
    return OneCollection(id=found.id, name=found.name, file_ids=found.files, created_at=iso_z(found.created))


FILE_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/api/v1/files", upload),
    Endpoint("GET", "/api/v1/files", files),
    Endpoint("GET", "/api/v1/files/{id}", file),
    Endpoint("DELETE", "/api/v1/files/{id}", delete),
    Endpoint("GET", "/api/v1/files/{id}/summary", summary),
    Endpoint("POST", "/api/v1/collections", make_collection, 201, (NotFound,)),
    Endpoint("GET", "/api/v1/collections", collections),
    Endpoint("GET", "/api/v1/collections/{id}", collection),
    Endpoint("DELETE", "/api/v1/collections/{id}", delete_collection),
)
