"""Several rankings into one, by reciprocal rank fusion.

Source: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods"
(SIGIR 2009). Ranks alone count, so scores of different kinds need not be made comparable.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

K = 60
"""The paper's constant: how little the first places differ."""


def fuse(rankings: Sequence[Sequence[T]]) -> list[tuple[T, float]]:
    """All that any ranking holds, best first, each with a score above 0 and up to 1, which is the first in every ranking.

    Of two with the same score, the one that comes first in an earlier ranking goes first. A ranking that names something
    twice means its better place. A ranking without anything says nothing: it is as if it were not there.
    """
    told = [list(dict.fromkeys(ranking)) for ranking in rankings if ranking]
    scores: dict[T, float] = {}
    for ranking in told:
        for place, one in enumerate(ranking, start=1):
            scores[one] = scores.get(one, 0.0) + (K + 1) / (K + place)
    best_first = sorted(scores.items(), key=lambda item: -item[1])
    return [(one, min(1.0, score / len(told))) for one, score in best_first]
