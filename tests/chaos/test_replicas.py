"""Two servers on Redis and PostgreSQL: each of them, and what stands between, is killed or cut off in the middle of answers.

The long form is `python -m bench.chaos --mode cluster`; what must hold after each round is in `bench/chaos/verdict.py`.
"""

from pathlib import Path

from bench.chaos.faults import TOGETHER
from bench.chaos.site import cluster

from tests.chaos.playing import assert_unharmed, played


def test_whatever_dies_or_is_cut_off_nothing_seen_is_lost_and_every_client_is_told_the_end(tmp_path: Path):
    assert_unharmed(played(cluster, tmp_path, *TOGETHER, rounds=len(TOGETHER)))
