"""Settings of every test."""

import os

import pytest
import torch
from hypothesis import settings

# The default run draws the same examples every time, so that it says something about the change at hand; `HYPOTHESIS_PROFILE=explore`
# looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def same_threads():
    """Fail a test that leaves another number of threads behind: later ones would no longer be equal bit for bit."""
    yield
    left = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    assert left == THREADS
