"""Settings of every test."""

import os

from hypothesis import settings

# The default run draws the same examples every time, so that it says something about the change at hand; `HYPOTHESIS_PROFILE=explore`
# looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
