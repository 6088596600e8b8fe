"""Whom to tell: the settings that $BAKEWELL_NOTIFY names. Without importing what tells them."""

import os
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from tasks.adapters.settings_file import FileKind, read_settings
from tasks.errors import InvalidInputError
from tasks.notices import NotifySettings, Target

VARIABLE: Final = "BAKEWELL_NOTIFY"
MAX_ADDRESS_BYTES: Final = 10_000
HOW: Final = f"${VARIABLE} names a YAML file (….yaml), or environment variables that hold addresses, with commas between"
KIND: Final = FileKind("notify settings", "they are a mapping with `targets:`", HOW)


def notify_settings() -> NotifySettings | None:
    """None where nobody is to be told. InvalidInputError names every mistake."""
    named = os.environ.get(VARIABLE, "").strip()
    if not named:
        return None
    if named.endswith((".yaml", ".yml")):
        settings, _ = read_settings(NotifySettings, Path(named).absolute(), KIND)
        return settings
    return _of_variables([one.strip() for one in named.split(",") if one.strip()])


def _of_variables(names: list[str]) -> NotifySettings:
    """Each is told everything, under the variable's name."""
    try:
        targets = [Target(name=name.lower().replace("_", "-"), variable=name) for name in names]
        return NotifySettings(targets=tuple(targets))
    except ValidationError:  # its words would repeat what may be an address
        raise InvalidInputError(
            f"${VARIABLE} holds neither the path of a YAML file nor names of environment variables (not repeated here: it"
            f" may be secret); {HOW}"
        ) from None


def address_of(target: Target) -> str:
    """The secret. InvalidInputError if it is not there, which never repeats it."""
    if target.variable is not None:
        found, where = os.environ.get(target.variable, ""), f"${target.variable}"
    else:
        found, where = _content(target), str(target.file)
    if not found.strip():
        raise InvalidInputError(
            f"asked to tell {target.name}; found no address in {where}; put one there, as Apprise writes it"
        )
    return found.strip()


def _content(target: Target) -> str:
    try:
        with Path(str(target.file)).open("rb") as file:
            return file.read(MAX_ADDRESS_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInputError(
            f"asked to tell {target.name}; its address in {target.file} cannot be read: {reason}"
        ) from None
