from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from rivermouth.documents import Passage, Section
from rivermouth.retrieval.split import BETWEEN, MOST, OVERLAP, passages

PROSE = st.text(st.sampled_from('aB é。.!?"\n \t)中') | st.characters(exclude_categories=["Cs"]), max_size=3 * MOST)
WORDY = st.lists(st.sampled_from(["river ", "mouth. ", "delta\n", "tide!\n\n", "estuary" * 40]), max_size=200).map(
    "".join
)
SECTIONS = st.lists(st.builds(Section, st.sampled_from(["1", "2", "Chapter 3"]), PROSE | WORDY), max_size=5)


def split(*sections: Section) -> list[Passage]:
    return list(passages(sections))


def sentence(number: int, length: int = 120) -> str:
    return f"Sentence {number} ".ljust(length - 1, "x") + "."


@given(SECTIONS)
@example([Section("1", "x" * 5000)])
@example([Section("1", " " * 5000 + "a" + " " * 5000)])
def test_a_passage_is_a_slice_of_the_whole_text_and_of_one_place(sections: list[Section]) -> None:
    whole = BETWEEN.join(section.text for section in sections)
    bounds, offset = [], 0
    for section in sections:
        bounds.append((section.place, offset, offset + len(section.text)))
        offset += len(section.text) + len(BETWEEN)

    for passage in passages(sections):
        end = passage.start + len(passage.text)
        assert whole[passage.start : end] == passage.text
        touched = {place for place, start, stop in bounds if start < end and passage.start < stop}
        assert touched == {passage.place}


@given(SECTIONS)
def test_every_character_that_is_not_white_space_is_in_a_passage(sections: list[Section]) -> None:
    whole = BETWEEN.join(section.text for section in sections)
    covered = bytearray(len(whole))
    for passage in passages(sections):
        covered[passage.start : passage.start + len(passage.text)] = b"\1" * len(passage.text)

    assert all(covered[at] or character.isspace() for at, character in enumerate(whole))


@given(SECTIONS)
def test_passages_are_of_bounded_size_trimmed_and_move_forward(sections: list[Section]) -> None:
    found = split(*sections)

    for passage in found:
        assert 0 < len(passage.text) <= MOST
        assert passage.text == passage.text.strip()
    for before, after in pairwise(found):
        assert before.start < after.start
        assert before.start + len(before.text) < after.start + len(after.text), "each brings something new"
        assert before.start + len(before.text) - after.start <= OVERLAP


def test_a_text_is_cut_between_sentences_and_the_last_ones_come_again() -> None:
    found = split(Section("1", " ".join(map(sentence, range(20)))))

    assert len(found) > 2
    for passage in found:
        assert passage.text.startswith("Sentence ")
        assert passage.text.endswith(".")
    for before, after in pairwise(found):
        assert before.text.endswith(after.text[: len(sentence(1))]), "one sentence of 120 fits the overlap"


def test_a_passage_ends_with_its_page() -> None:
    found = split(Section("1", "The first page is short."), Section("2", "So is the second."))

    assert found == [Passage("1", 0, "The first page is short."), Passage("2", 26, "So is the second.")]


def test_sections_of_one_place_that_follow_each_other_are_one_text() -> None:
    found = split(Section("Tides", "They rise."), Section("Tides", "They fall."), Section("Moon", "It pulls."))

    assert [(one.place, one.text) for one in found] == [("Tides", "They rise.\n\nThey fall."), ("Moon", "It pulls.")]


def test_a_stretch_without_the_end_of_a_sentence_is_cut_at_lines_then_words_then_anywhere() -> None:
    lines = split(Section("1", "\n".join(f"row {number}, 17.5, {'y' * 60}" for number in range(40))))
    words = split(Section("1", " ".join(["brackish"] * 400)))
    nothing = split(Section("1", "z" * (2 * MOST + 10)))

    assert all(one.text.startswith("row ") and one.text.endswith("y") for one in lines)
    assert all(set(one.text.split()) == {"brackish"} for one in words)
    assert [len(one.text) for one in nothing] == [MOST, MOST, 10]


def test_sentences_without_spaces_between_them_are_told_apart() -> None:
    found = split(Section("1", "河口は海に注ぐ。" * 200))

    assert all(one.text.endswith("。") for one in found)


def test_nothing_gives_nothing() -> None:
    assert split() == []
    assert split(Section("1", ""), Section("2", " \n\t ")) == []


def test_the_most_awkward_texts_are_walked_through_once() -> None:
    for awkward in (" ", ".", "\n", '."', "x", ". "):
        for passage in split(Section("1", awkward * 500_000)):  # anything but one walk would take hours
            assert 0 < len(passage.text) <= MOST
