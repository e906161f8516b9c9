"""How much hypothesis tries: enough to find, few enough for every run."""

from hypothesis import HealthCheck, settings

# No deadline: a busy machine is no bug. Nothing is kept between runs.
settings.register_profile(
    "reliant",
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("reliant")
