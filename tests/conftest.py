"""What every test shares: generated examples are not timed, since a busy machine is no bug.

On CI they are the same every time; elsewhere each run tries new ones.
"""

import os

from hypothesis import settings

settings.register_profile("hpc-sweep", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("hpc-sweep")
