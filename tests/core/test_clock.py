"""Time and ids."""

import uuid

from rivermouth.clock import SystemClock


def test_every_id_is_a_random_uuid_of_its_own():
    clock = SystemClock()
    ids = [clock.new_id() for _ in range(2000)]

    assert len(set(ids)) == len(ids)
    for id in ids:
        parsed = uuid.UUID(id)
        assert str(parsed) == id
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
    assert {id[19] for id in ids} == set("89ab")
