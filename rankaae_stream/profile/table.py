"""Define what all tables of a profile have in common."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["Table"]


class Table(BaseModel):
    """A table of settings: it does not change, and a misspelt key is an error."""

    # An error must not show what was given: it may be a key.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ALWAYS: ClassVar[tuple[str, ...]] = ()
    """Settings that `analysis` has at their default too. Uids of stored results depend on this
    list: what is added to a table later must not be added here."""
    NEVER: ClassVar[tuple[str, ...]] = ()
    """Settings that change no number."""

    def analysis(self) -> dict[str, Any]:
        """Return the settings that can change a number, where they are not the default."""
        plain = self.model_dump(mode="json", exclude=set(self.NEVER))
        changed = self.model_dump(exclude_defaults=True)
        return {k: value for k, value in plain.items() if k in changed or k in self.ALWAYS}
