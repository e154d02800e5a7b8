"""Read one beamline's settings, the profile; nothing else reads configuration.

A profile is a TOML file. Order of precedence: arguments of the program, the environment
(``RANKAAE_STREAM_*``, nested keys with two underscores), the file, the defaults. Misspelt
keys are errors. Secrets are read from the environment only and are never published.

`layouts` and `settings` define the tables, `profile` combines them, `environment` applies
the environment to the file, `reading` finds files and explains errors.
"""

from rankaae_stream.profile.environment import API_KEY_VARIABLE
from rankaae_stream.profile.profile import Profile
from rankaae_stream.profile.reading import load_profile, reading_under

__all__ = ["API_KEY_VARIABLE", "Profile", "load_profile", "reading_under"]
