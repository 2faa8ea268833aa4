"""What every test shares: generated examples are not timed, since a busy machine is no bug."""

from hypothesis import settings

settings.register_profile("hpc-sweep", deadline=None)
settings.load_profile("hpc-sweep")
