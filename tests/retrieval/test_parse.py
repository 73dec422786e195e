"""Files of every kind, read in a process of their own: what is found where, and what is said of those that cannot be read."""

import asyncio
import os
import signal
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from rivermouth.documents import FileType, Passage, Unreadable
from rivermouth.retrieval import parse
from rivermouth.retrieval.kinds import kind_of
from rivermouth.retrieval.parse import Batch, Limits, Whole
from tests import documents
from tests.documents import TEXT

SECONDS = 60


def kind(folder: Path, data: bytes, name: str) -> FileType:
    (folder / "given").write_bytes(data)
    return kind_of(folder / "given", name)


def found(folder: Path, data: bytes, name: str, limits: Limits | None = None) -> tuple[list[Passage], str]:
    """Its passages and its summary."""

    async def play() -> tuple[list[Passage], str]:
        passages, done, summary = list[Passage](), [0.0], ""
        async for one in parse.read(folder / "given", kind(folder, data, name), limits or Limits()):
            if isinstance(one, Batch):
                passages += one.passages
                done.append(one.done)
            else:
                assert isinstance(one, Whole)
                summary = one.summary
        assert done == sorted(done)
        assert all(0 <= one <= 1 for one in done)
        return passages, summary

    return asyncio.run(asyncio.wait_for(play(), SECONDS))


def refused(folder: Path, data: bytes, name: str, limits: Limits | None = None) -> tuple[str, str]:
    """The code and the message."""
    with pytest.raises(Unreadable) as told:
        found(folder, data, name, limits)
    return told.value.code, told.value.message


def readers(folder: Path) -> list[Path]:
    """The processes that read something there."""
    lines = Path("/proc").glob("[0-9]*/cmdline")
    return [path for path in lines if str(folder).encode() in _bytes(path)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has just ended


def places(passages: list[Passage]) -> dict[str, str]:
    return {one.place: one.text for one in passages}


def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    passages, summary = found(tmp_path, documents.pdf(["Rivers rise.", "", "They end at their mouth."]), "r.pdf")

    assert places(passages) == {"1": "Rivers rise.", "3": "They end at their mouth."}
    assert summary == "Rivers rise. They end at their mouth."


def test_a_docx_is_read_by_heading_with_its_tables_where_they_stand(tmp_path: Path) -> None:
    data = documents.word({"Springs": "Rivers rise.", "Mouths": TEXT}, rows=[["River", "Sea"], ["Elbe", "North Sea"]])
    passages, summary = found(tmp_path, data, "r.docx")

    assert places(passages) == {
        "Springs": "Springs\nRivers rise.",
        "Mouths": f"Mouths\n{TEXT}\nRiver\tSea\nElbe\tNorth Sea",
    }
    assert summary.startswith("Rivers rise. A river mouth is where"), "headings are left out"


def test_a_table_that_says_nothing_of_itself_is_read(tmp_path: Path) -> None:
    text = b"<w:p><w:r><w:t>%b</w:t></w:r></w:p>"
    cell = b"<w:tbl><w:tr><w:tc>%b</w:tc></w:tr></w:tbl>" % (text % b"Elbe")
    named = b'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Mouths</w:t></w:r></w:p>'
    space = b'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = b"<w:document %b><w:body>%b</w:body></w:document>" % (space, text % b"Rivers." + named + cell)
    passages, _ = found(tmp_path, documents.word_with(body), "r.docx")

    assert places(passages) == {"1": "Rivers.", "Mouths": "Mouths\nElbe"}


def test_a_page_is_read_by_heading_without_what_stands_around_its_text(tmp_path: Path) -> None:
    page = f"""<!doctype html><html><head><title>On rivers</title><style>p {{ color: red }}</style></head><body>
        <header>ACME <a href=/>home</a></header><nav><ul><li>Menu</ul></nav><script>alert("boo")</script>
        <main><p>Rivers   rise<br>somewhere.<pre>a\n  b</pre><h2>Where they <i>end</i></h2><div><p>{TEXT}</p>There.</div>
        <table><tr><td>Elbe<td>Sea</table></main><aside>Advertisement</aside><footer>Imprint</footer>"""
    passages, _ = found(tmp_path, page.encode(), "r.html")

    assert places(passages) == {
        "On rivers": "Rivers rise\nsomewhere.\na\nb",
        "Where they end": f"Where they end\n{TEXT}\nThere.\nElbe\tSea",
    }


def test_markdown_is_read_by_heading(tmp_path: Path) -> None:
    text = f"Before.\n\n# Springs #\nRivers rise.\n```sh\n# no heading\n```\n\nMouths\n======\n{TEXT}\n"
    passages, _ = found(tmp_path, text.encode(), "r.md")

    assert places(passages) == {
        "1": "Before.",
        "Springs": "# Springs #\nRivers rise.\n```sh\n# no heading\n```",
        "Mouths": f"Mouths\n{TEXT}",
    }


def test_a_table_is_read_some_rows_at_a_time_with_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = "".join(f"River {number};{number} km\n" for number in range(1, 23))
    passages, _ = found(tmp_path, ("name;length\n" + rows).encode(), "r.csv")

    assert list(places(passages)) == ["rows 2-21", "rows 22-23"]
    assert places(passages)["rows 22-23"] == "name: River 21, length: 21 km.\nname: River 22, length: 22 km."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_the_encodings_that_people_have(encoding: str, tmp_path: Path) -> None:
    passages, _ = found(tmp_path, "Die Mündung der Elbe – groß.".encode(encoding), "r.txt")

    assert places(passages) == {"1": "Die Mündung der Elbe – groß."}


@pytest.mark.parametrize(
    ("said", "true"), [("shift_jis", "shift_jis"), ("nonsense", "cp1252"), ("zip", "cp1252"), ("latin1", "utf-8")]
)
def test_a_page_is_read_in_the_encoding_that_it_names_unless_it_is_another(
    said: str, true: str, tmp_path: Path
) -> None:
    text = "河口" if true == "shift_jis" else "Mündung"
    page = f'<html><head><meta http-equiv="Content-Type" content="text/html; charset={said}"></head><body>{text}'
    passages, _ = found(tmp_path, page.encode(true), "r.html")

    assert places(passages) == {"1": text}


def test_a_text_that_turns_into_bytes_is_told_as_broken(tmp_path: Path) -> None:
    code, _ = refused(tmp_path, b"A river. " * 10_000 + bytes(range(32)) * 10_000, "a.txt")

    assert code == "broken"


def test_passages_stand_where_they_say_in_the_text(tmp_path: Path) -> None:
    text = "\n".join(f"Sentence number {number} is about rivers." for number in range(2000))
    passages, summary = found(tmp_path, text.encode(), "r.txt")

    assert len(passages) > 50
    assert all(text[one.start :].startswith(one.text) for one in passages)
    assert len(summary) <= 600
    assert summary.endswith(".")


def test_a_file_is_what_is_in_it_whatever_its_name_says(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"\0\0" * 8000)
    given = [
        (documents.pdf(["x"]), "a.docx"),
        (b"junk first\n" + documents.pdf(["x"]), "a.txt"),
        (documents.word({"a": "b"}), "a.pdf"),
        (b"<!-- hello -->\n<HTML><p>x", "a.txt"),
        (b"<p>no html element", "a.htm"),
        ((tmp_path / "sound").read_bytes(), "a.md"),
        (b"a,b\n1,2\n", "a.CSV"),
        (b"# x", "a.md"),
        (b"# x", "a.pdf"),
        (b"", "a.pdf"),
    ]

    assert [kind(tmp_path, data, name) for data, name in given] == (
        ["pdf", "pdf", "docx", "html", "html", "audio", "csv", "md", "txt", "txt"]
    )


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, b"\x7fELF" + b"\0" * 500, b"PK\x03\x04 an archive", b"{\\rtf1 x}"],
    ids=["image", "program", "archive", "rtf"],
)
def test_what_no_text_can_be_had_from_is_refused_by_name(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"'a\.pdf' is of no kind that can be read here: PDF, DOCX") as told:
        kind(tmp_path, data, "a.pdf")

    assert told.value.code == "unsupported"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (documents.word({}), "empty"),
        (b"<html><body><script>1</script></body></html>", "empty"),
        (documents.pdf(["", ""]), "no_text"),
        (documents.encrypted_pdf(), "encrypted"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
        (documents.pdf(["x"])[:200], "broken"),
        (b"%PDF-1.7 and then nothing of the kind", "broken"),
        (documents.word({"a": "b"})[:5000], "broken"),
        (documents.word_with(b"<w:document"), "broken"),
        (documents.deep_word(5000), "broken"),
        (b"ID3\x04 some music", "unsupported"),
    ],
    ids=[
        "nothing", "blank", "empty docx", "empty page", "scan", "pdf with a password", "docx with a password", "half a pdf",
        "no pdf", "half a docx", "broken docx", "deep docx", "music",
    ],
)  # fmt: skip
def test_of_what_cannot_be_read_it_is_said_why(data: bytes, code: str, tmp_path: Path) -> None:
    told, message = refused(tmp_path, data, "a.x")

    assert told == code
    assert "Traceback" not in message


HOSTILE: dict[str, Callable[[], bytes]] = {
    "laughing docx": documents.laughing_word,
    "pdf bomb": documents.pdf_bomb,
    "a million objects": lambda: documents.pdf(["x"], extra=[b"<< >>"] * 1_000_000),
    "100,000 levels": lambda: b"<html><body>" + b"<div>" * 100_000 + b"x",
    "brackets": lambda: b"[" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_break_a_reader_ends_in_time_either_way(name: str, tmp_path: Path) -> None:
    limits = Limits(seconds=2.0, memory_bytes=600_000_000)
    try:
        passages, _ = found(tmp_path, HOSTILE[name](), "a.x", limits)
        outcome = "read" if passages else "nothing"
    except Unreadable as told:
        outcome = told.code

    assert outcome in ("read", "broken", "too_slow", "too_large", "no_text", "empty")


def test_a_line_without_an_end_is_no_heading(tmp_path: Path) -> None:
    blanks = (b"# a" + b" " * 50_000 + b"b\n") * 20
    passages, _ = found(tmp_path, blanks, "a.md", Limits(seconds=20.0))

    assert {one.place for one in passages} == {"1"}


def test_a_page_a_hundred_levels_deep_is_read(tmp_path: Path) -> None:
    passages, _ = found(tmp_path, b"<html><body>" + b"<div>" * 100 + b"deep", "a.html")

    assert places(passages) == {"1": "deep"}


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    code, message = refused(tmp_path, documents.word_bomb(), "a.docx")

    assert code == "too_large"
    assert message.startswith("the DOCX would unpack to 300 MB")


def test_text_without_an_end_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, b"word " * 100_000, "a.txt", Limits(text_chars=100_000))

    assert told == ("too_large", "there is more text than 100000 characters in it")


def test_reading_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    code, _ = refused(tmp_path, b"<html><body>" + b"<div>" * 100_000, "a.html", Limits(seconds=1.0))

    assert code == "too_slow"


def test_a_machine_that_gives_the_reader_little_time_fails_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse, "START_SECONDS", 0.5)
    (tmp_path / "given").write_bytes(b"A sentence about rivers.\n" * 20_000)

    async def play() -> Batch | Whole:
        reading = parse.read(tmp_path / "given", "txt", Limits(seconds=2.0))
        last = await anext(reading)
        [path] = readers(tmp_path)
        pid = int(path.parent.name)
        os.kill(pid, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(3.0, os.kill, pid, signal.SIGCONT)
        async for one in reading:
            last = one
        return last

    assert isinstance(asyncio.run(asyncio.wait_for(play(), SECONDS)), Whole)


def test_who_stops_listening_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"A sentence about rivers.\n" * 100_000)

    async def play() -> None:
        reading = parse.read(tmp_path / "given", "txt", Limits())
        first = await anext(reading)
        assert isinstance(first, Batch)
        assert len(readers(tmp_path)) == 1
        await reading.aclose()

    asyncio.run(asyncio.wait_for(play(), SECONDS))

    assert readers(tmp_path) == []
