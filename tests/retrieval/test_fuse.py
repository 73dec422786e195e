from hypothesis import given
from hypothesis import strategies as st

from rivermouth.retrieval.fuse import fuse

RANKINGS = st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=4)


def names(*rankings: str) -> str:
    return "".join(name for name, _ in fuse(rankings))


def test_what_both_rankings_have_high_comes_first() -> None:
    assert names("abcd", "xbya") == "baxcyd"


def test_the_first_of_every_ranking_scores_one() -> None:
    assert fuse(["ab", "ac", "a"])[0] == ("a", 1.0)


def test_one_ranking_keeps_its_order() -> None:
    assert names("hello w") == "helo w"


def test_of_two_with_one_score_that_of_the_earlier_ranking_goes_first() -> None:
    assert names("a", "b") == "ab"
    assert names("b", "a") == "ba"


def test_a_ranking_without_anything_changes_nothing() -> None:
    assert fuse(["abc", ""]) == fuse(["abc"])
    assert fuse([]) == fuse([[], []]) == []


@given(RANKINGS)
def test_all_that_was_ranked_is_there_once_best_first(rankings: list[list[int]]) -> None:
    found = fuse(rankings)

    assert {one for one, _ in found} == {one for ranking in rankings for one in ranking}
    assert len({one for one, _ in found}) == len(found)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


@given(RANKINGS, st.integers(0, 30))
def test_to_be_put_first_in_a_ranking_never_makes_a_place_worse(rankings: list[list[int]], one: int) -> None:
    def place(where: list[list[int]]) -> int:
        return [name for name, _ in fuse(where)].index(one)

    given_last = [[other for other in ranking if other != one] + [one] for ranking in rankings or [[]]]
    given_first = [[one, *given_last[0]], *given_last[1:]]

    assert place(given_first) <= place(given_last)
