"""Which answer belongs to which question, in knowbase's histories."""

from rivermouth.doors.siblings.knowbase import exchanges
from rivermouth.messages import Role
from rivermouth.stores import StoredMessage


def said(role: Role, text: str, run: str | None = None) -> StoredMessage:
    return StoredMessage(id=f"{role} {text}", conversation="c", role=role, text=text, created=1.0, run=run)


def pairs(*messages: StoredMessage) -> list[tuple[str, str]]:
    return [(one.question, one.answer) for one in exchanges(messages)]


def test_each_question_has_the_answer_that_follows_it() -> None:
    asked = [said("user", "a"), said("assistant", "A", "1"), said("user", "b"), said("assistant", "B", "2")]

    assert pairs(*asked) == [("a", "A"), ("b", "B")]


def test_a_question_that_failed_does_not_take_the_answer_of_the_next() -> None:
    asked = [said("user", "a"), said("user", "b"), said("assistant", "B", "2"), said("user", "c")]

    assert pairs(*asked) == [("a", ""), ("b", "B"), ("c", "")]


def test_answers_that_ran_at_once_go_by_their_runs_where_the_questions_have_them() -> None:
    asked = [said("user", "a", "1"), said("user", "b", "2"), said("assistant", "A", "1"), said("assistant", "B", "2")]

    assert pairs(*asked) == [("a", "A"), ("b", "B")]


def test_an_answer_without_any_question_is_left_out() -> None:
    assert pairs(said("assistant", "A", "1")) == []
