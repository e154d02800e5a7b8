"""Load a profile by its name or path, and explain what is wrong with it."""

import contextlib
import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from rankaae_stream import resources
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile.environment import API_KEY_VARIABLE, PREFIX
from rankaae_stream.profile.layouts import KINDS
from rankaae_stream.profile.profile import Profile
from rankaae_stream.profile.table import Table

__all__ = ["load_profile", "reading_under"]


def load_profile(name_or_path: str | Path, **overrides: Any) -> Profile:
    """Read a profile.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped profile's name, such as ``sim``, or the path of a TOML file.
    **overrides
        Settings that replace those of environment and file.

    Raises
    ------
    ConfigurationError
        When it does not exist or a key is misspelt or has a wrong value.
    """
    path = _find(name_or_path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    # ValueError: no UTF-8, no TOML, an integer of thousands of digits.
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"cannot read profile {path}: {error}") from error
    if "tiled_api_key" in values:
        raise ConfigurationError(
            f"{path} holds a key; take it out and set it in the environment: "
            f"export {API_KEY_VARIABLE}=..."
        )

    class FromFile(Profile):
        FILE = values

    try:
        return FromFile(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{_where(item['loc'])}: {_advice(item)}" for item in error.errors())
        raise ConfigurationError(f"profile {path}: {problems}") from error
    except (SettingsError, RecursionError) as error:
        problem = str(error).split(" from source")[0]
        raise ConfigurationError(
            f"profile {path}: {problem}; in the environment lists and tables are JSON, such as "
            f"""{PREFIX}LAYOUT__I0='["I0"]'"""
        ) from error


def reading_under(name_or_path: str | Path, folder: Path | str, **overrides: Any) -> Profile:
    """Read a profile, and allow files of scans in one folder only, not in its own folders.

    The parameters are those of `load_profile`.
    """
    moved = [layout.model_dump() for layout in load_profile(name_or_path, **overrides).layouts]
    for layout in moved:
        if "allowed_roots" in layout:
            layout["allowed_roots"] = [str(folder)]
    return load_profile(name_or_path, **{**overrides, "layout": moved})


def _find(name_or_path: str | Path) -> Path:
    shipped = resources.folder("profiles")
    names = sorted(path.stem for path in shipped.glob("*.toml"))
    if isinstance(name_or_path, str) and name_or_path in names:
        return shipped / f"{name_or_path}.toml"
    path = Path(os.path.expanduser(name_or_path))
    with contextlib.suppress(OSError, ValueError):  # too long for a name, a NUL
        if path.is_file():
            return path
    raise ConfigurationError(
        f"no profile {str(name_or_path)!r}: neither a file nor one of the shipped profiles "
        f"({', '.join(names)})"
    )


def _advice(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        # Under a layout only its own keys help; elsewhere those of any table do.
        tables = [KINDS[part] for part in item["loc"] if part in KINDS]
        tables = tables or [Profile, *Table.__subclasses__(), *KINDS.values()]
        known = {
            field.alias or name for table in tables for name, field in table.model_fields.items()
        }
        wrong = str(item["loc"][-1])
        near = difflib.get_close_matches(wrong, known - {wrong}, n=1)
        return f"no such setting here; {f'did you mean {near[0]}?' if near else 'is it misspelt?'}"
    return str(item["msg"])


def _where(location: tuple[int | str, ...]) -> str:
    """Return the dotted key of a validation error, without the alternatives tried."""
    tried = {"single", "several", "plugged", *KINDS}
    return ".".join(str(part) for part in location if part not in tried)
