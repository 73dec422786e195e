"""A server on SQLite alone that is killed in the middle of answers, and started again on what it left behind.

The long form is `python -m bench.chaos --mode sqlite`; what must hold after each round is in `bench/chaos/verdict.py`.
"""

from pathlib import Path

from bench.chaos.site import single

from tests.chaos.playing import assert_unharmed, played


def test_what_was_seen_before_the_server_was_killed_is_there_after_it_and_every_client_is_told_the_end(tmp_path: Path):
    assert_unharmed(played(single, tmp_path, "kill", rounds=4))
