"""Settings that all tests share."""

import os

from hypothesis import HealthCheck, settings

# A busy machine is no failure of the code; where changes are judged, the same examples are tried each time.
settings.register_profile(
    "mvgen", deadline=None, derandomize=bool(os.environ.get("CI")), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mvgen")

# Tests run side by side: threads that wait for each other leave the processor to the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line has it
