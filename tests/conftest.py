"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure of the code.
settings.register_profile("mvgen", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mvgen")
