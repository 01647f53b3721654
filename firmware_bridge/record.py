"""Values made for every reading: frozen where it is checked, plain where it runs.

A frozen dataclass writes each field through `object.__setattr__`, which makes it two to three times
as dear to make as a plain one. Of what is made several times a reading that would be a tenth of its
cost; mypy refuses assignment all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def record(cls: type[_T]) -> type[_T]:
    """Make a dataclass with slots whose fields are not to be assigned to once it is made."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
