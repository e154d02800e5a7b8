"""What every table of a profile is."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Table"]


class Table(BaseModel):
    """A table of settings: it does not change, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
