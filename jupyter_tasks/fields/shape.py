"""What a field is, and what can be said about a parameter that becomes one."""

from dataclasses import dataclass
from typing import Any, Literal

FieldType = Literal["str", "int", "float", "bool", "datetime", "path", "json"]
Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Says more about a parameter: ``epochs: Annotated[int, About(title="Epochs", minimum=1)]``.

    ``minimum`` and ``maximum`` (both allowed values) are for numbers, ``max_length`` (in characters)
    is for text; in a list each is for every item.
    """

    title: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One named value that a task takes.

    ``many``: a list of such values. ``nullable``: null is one, too. ``default`` counts only where
    the field is not ``required``. ``choices``: nothing else is taken.
    """

    name: str
    type: FieldType
    title: str = ""
    help: str = ""
    required: bool = True
    default: Any = None
    many: bool = False
    nullable: bool = False
    choices: tuple[Scalar, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
