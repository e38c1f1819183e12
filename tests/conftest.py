"""What all tests share."""

import os

from hypothesis import settings

# The machines that run the tests are shared; time is measured in benchmarks. The same
# examples every time, so that a change is what makes a test fail; `explore` looks for
# others: HEADROOM_HYPOTHESIS=explore make test.
settings.register_profile("headroom", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=400)
settings.load_profile(os.environ.get("HEADROOM_HYPOTHESIS", "headroom"))
