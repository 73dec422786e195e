"""What of a question is looked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.wording import MOST_TERMS, leans_on_what_was_said, pairs, searched_for, terms

ASKED = "How long does the kiln cool after a bisque firing?"


def test_a_question_is_its_telling_words() -> None:
    assert terms("What does the document say about the Severn's bore?") == ["severn", "bore"]
    assert terms("Section 12.3, or 7?") == ["section", "12", "3", "7"]
    assert terms("Größe GRÖSSE größe") == ["größe", "grösse"]


def test_what_is_written_without_spaces_is_looked_for_in_pairs() -> None:
    assert terms("港口在河口") == ["港口", "口在", "在河", "河口"]
    assert terms("Python是語言 3日") == ["python", "是語", "語言", "3", "日"]
    assert pairs("Python是語言, and nothing else") == "Python 是語 語言"
    assert pairs("Nothing of the kind. Größe. Порт.") == ""


def test_where_all_words_are_common_the_common_ones_are_looked_for() -> None:
    assert terms("What is it about?") == ["what", "is", "it", "about"]


@given(st.text(max_size=400))
def test_words_are_never_more_than_letters_and_digits(text: str) -> None:
    found = terms(text)

    assert len(found) == len(set(found)) <= MOST_TERMS
    assert all((word.isalnum() and word == word.lower()) or not word.isascii() for word in found)


@pytest.mark.parametrize(
    "question", ["And the glaze?", "Why?", "How hot is it?", "Does it crack then, in the winter?", "Who says that?"]
)
def test_a_question_that_leans_on_the_last_one_is_looked_for_with_it(question: str) -> None:
    assert searched_for(question, ASKED) == f"{ASKED} {question}"


@pytest.mark.parametrize(
    "question",
    [
        "How many days of parental leave do part-time employees get?",
        "When do the herons nest in the northern reed beds?",
    ],
)
def test_a_question_that_says_all_itself_is_looked_for_alone(question: str) -> None:
    assert searched_for(question, ASKED) == question
    assert not leans_on_what_was_said(question)


def test_the_first_question_is_looked_for_as_it_is() -> None:
    assert searched_for("And the glaze?", None) == "And the glaze?"
