"""How JSON from strangers becomes a model: by the rules that Multus's users know (Go's decoder).

Keys match in any letter case (the exact spelling wins), ``null`` leaves a default in place, unknown
keys are kept, and a value of the wrong type is an error that names the path to it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, clip

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Decoded(BaseModel):
    """Base of every model of foreign JSON: frozen, strict about types, lenient about keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _spelled_our_way(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        spellings = _spellings(cls)
        folded: dict[str, Any] = {}
        for key, item in value.items():
            lower = key.lower()
            spelling = spellings.get(lower) or key
            if spelling != key and value.get(spelling) is not None:
                continue
            if item is not None or lower not in spellings:
                folded[spelling] = item
        return folded


@cache
def _spellings(model: type[Decoded]) -> dict[str, str]:
    """Return how a model's members are spelled, by the same in small letters."""
    spelled = [field.alias or name for name, field in model.model_fields.items()]
    return {spelling.lower(): spelling for spelling in spelled}


Model = TypeVar("Model", bound=Decoded)


def decoded(model: type[Model], value: object, *, code: Code, hint: str) -> Model:
    """Return ``value`` as a ``model``; an error says which member is wrong and why."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise CniError(code, _explained(error.errors()[0]), hint) from error


def _explained(detail: ErrorDetails) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    given = detail["input"]
    if detail["type"] == "value_error":  # a validator of ours, which shows the value itself
        reason = detail["msg"].removeprefix("Value error, ")
    elif detail["type"] in {"dict_type", "model_type"}:
        reason = f"should be an object, not {document.kind(given)}"
    else:
        reason = detail["msg"].replace("Input should", "should")
        if isinstance(given, (str, int, float)):
            reason += f" (it is {clip(repr(given), 60)})"
    return f"{place}: {reason}" if place else reason
