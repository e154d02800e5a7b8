"""One beamline's settings: the only reader of configuration.

A profile is a TOML file. Order of precedence: what the program passes, the
environment (``RANKAAE_STREAM_*``, nested keys with two underscores), the file,
the defaults. Misspelt keys are errors. Secrets come from the environment
only and are never part of what is published.

`layouts` and `settings` say what the tables are, `profile` is all of them,
`environment` lays the environment over the file, `reading` finds and explains.
"""

from rankaae_stream.profile.environment import API_KEY_VARIABLE
from rankaae_stream.profile.profile import Profile
from rankaae_stream.profile.reading import load_profile, reading_under

__all__ = ["API_KEY_VARIABLE", "Profile", "load_profile", "reading_under"]
