"""What the sections of the settings share: the base of a section, and the types of their values.

In: values as YAML has them. Out: values in our units: seconds, octets, checked names.
Refused: ValueError, which the settings tell with its place.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from sendgate.entry import check_name
from sendgate.units import parse_duration, parse_size

Seconds = Annotated[int, BeforeValidator(parse_duration), Field(ge=1)]
Octets = Annotated[int, BeforeValidator(parse_size), Field(ge=1)]
ListName = Annotated[str, AfterValidator(lambda name: check_name(name, "list"))]


class Section(BaseModel):
    """A section of the settings: frozen, and without keys that are not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def octal_mode(value: object) -> str:
    """A file mode such as "0660"."""
    # YAML reads 0660 without quotes as an octal number
    text = f"{value:04o}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError('must be an octal mode in quotes, such as "0660"')
    return text
