"""How each dataclass of a declaration is read."""

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
"""For ``@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)``: an unknown key is an error."""
