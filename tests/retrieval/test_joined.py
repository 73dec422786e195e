from hypothesis import given

from rivermouth.documents import Passage
from rivermouth.retrieval.split import BETWEEN, joined, passages
from tests.retrieval.test_split import SECTIONS


@given(SECTIONS)
def test_passages_joined_say_all_that_the_text_says_once(sections) -> None:  # type: ignore[no-untyped-def]
    whole = BETWEEN.join(section.text for section in sections)
    found = list(passages(sections))

    assert "".join(joined(found).split()) == "".join(whole.split())


def test_what_two_passages_share_stands_once() -> None:
    found = [
        Passage("1", 0, "It rises. It falls."),
        Passage("1", 10, "It falls. It turns."),
        Passage("2", 40, "The end."),
    ]

    assert joined(found) == "It rises. It falls. It turns.\n\nThe end."
    assert joined([]) == ""
