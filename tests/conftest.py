"""One thread, for the toys are too small to share out; and no way out of the machine."""

import os
from collections.abc import Iterator

import pytest

from tests import offline

os.environ["OMP_NUM_THREADS"] = "1"  # also for the processes that tests start
offline.refuse_connections()


@pytest.fixture(autouse=True)
def _stays_on_this_machine() -> Iterator[None]:
    """Fail a test that wanted to leave, even where a library swallowed the refusal."""
    yield
    wanted = offline.ATTEMPTS[:]
    offline.ATTEMPTS.clear()
    assert not wanted, f"wanted to reach {wanted}"
