"""What every part of `service.yaml` is made of: frozen, strict, and able to say which settings contradict each other. Pure."""

import re
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="small letters, digits and hyphens, beginning with a letter, at most 40",
    ),
]
Variable = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="letters, digits and underscores"),
]

MOVED = "x-moved"
"""In a part's schema: settings of older versions -> what to do instead."""

KINDS = "x-kinds"
"""In a setting's schema: what kinds of it there are, where no `kind` but their own settings tell them apart."""

Contradiction = tuple[tuple[str | int, ...], str]


def shown_address(address: str) -> str:
    """As a message may repeat it: without what stands before an `@`, which may be a password."""
    return repr(re.sub(r".*@(?!sha256:)", "…@", address, flags=re.DOTALL))


class Part(BaseModel):
    """A mapping of `service.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if found := list(self._contradictions()):
            text = "; ".join(f"{'.'.join(map(str, path))}: {what}" for path, what in found)
            raise PydanticCustomError("contradiction", "{text}", {"text": text, "found": found})
        return self

    def _contradictions(self) -> Iterator[Contradiction]:
        """Settings that are fine alone but not together: where the mistake is, and what it is."""
        yield from ()
