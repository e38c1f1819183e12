"""What all tests share."""

from hypothesis import settings

# The machines that run the tests are shared; time is measured in benchmarks.
settings.register_profile("headroom", deadline=None)
settings.load_profile("headroom")
