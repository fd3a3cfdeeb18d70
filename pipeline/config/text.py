"""Settings that are text of a certain form, and what is said of text of another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, GetCoreSchemaHandler
from pydantic_core import core_schema


@dataclass(frozen=True, slots=True)
class Form:
    """Marks text of a form: `Annotated[str, Form(r"^[a-z]+$", "a word such as 'sky'")]`.

    What does not match the regular expression, is longer than `max_length` characters or is no text is an error that
    says `Input should be ...` with `expected`: a noun, and an example where one helps. `expected` has no braces.
    """

    pattern: str
    expected: str
    max_length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.custom_error_schema(
            core_schema.str_schema(pattern=self.pattern, max_length=self.max_length),
            custom_error_type="text_form",
            custom_error_message=f"Input should be {self.expected}",
        )


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


NUMBER_AS_TEXT: Final = BeforeValidator(_as_text)
"""Marks text that YAML may read as a whole number, such as the size 3840: `Annotated[str, NUMBER_AS_TEXT]`."""

Color = Annotated[str, Form(r"^#[0-9a-fA-F]{6}$", "a color such as '#8a8f99', in quotes")]
Name = Annotated[str, Form(r"^[^/\\\x00-\x1f]*$", "a name of at most 64 characters without / and \\", 64)]
