"""What a class declares, compared with the hooks of its base class.

Python takes any attribute: nothing would read a misspelt ``sparcity``, and the run would not be what its author thinks.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable


@runtime_checkable
class Combined(Protocol):
    """Settings that know which of their values do not go together. Most groups of settings have no such values."""

    def problems(self) -> Iterator[str]:
        """Yield one line for each fault, without the name of the component."""
        ...


@runtime_checkable
class Declaring(Protocol):
    """A class that knows what makes it no usable component, whatever its settings; bases that declare hooks do."""

    def class_problems(self) -> Iterator[str]:
        """Yield one line for each fault."""
        ...


# How alike two names are that differ by a slip: sparcity and sparsity 0.88, serach and search 0.83.
ALIKE = 0.8


def declaration_problems(owner: type, base: type) -> Iterator[str]:
    """Yield what `owner` leaves out, gives as something else, or gives under a name that nobody reads, one line each.

    A hook is a public attribute of `base`; `owner` is a dataclass that derives from it.
    """
    try:
        hints = {name: _kind(hint) for name, hint in typing.get_type_hints(owner).items()}
    except NameError as error:
        yield f"{owner.__name__}: a type cannot be read: {error}. Import it at the top of the module."
        return
    yield from (f"{owner.__name__}.{name} is missing; define it." for name in getattr(owner, "__abstractmethods__", ()))
    hooks, own_fields = hook_kinds(base), {spec.name for spec in fields(owner)}
    for name in _declared(owner, base):
        # What the class declares, and not what a property or another descriptor would make of it.
        value = inspect.getattr_static(owner, name, None)
        kind = hints[name] if name in own_fields else type(value)
        if name not in hooks:
            problem = _misnamed(name, kind, hooks)
        elif name in own_fields and isinstance(vars(base).get(name), property):
            problem = "is a setting; needed: a property or a class attribute."
        elif kind is hooks[name] if name in own_fields else _fits(value, hooks[name]):
            continue
        else:
            problem = _unfit(kind, hooks[name])
        if problem:
            yield f"{owner.__name__}.{name} {problem}"


def hook_kinds(base: type) -> dict[str, Any]:
    """The hooks that `base` declares, by name, each with the class of its value; Callable for methods."""
    hints, found = typing.get_type_hints(base), dict[str, Any]()
    for name in filter(_is_public, (*inspect.get_annotations(base), *vars(base))):
        value = vars(base).get(name)
        if isinstance(value, property):
            found[name] = _kind(typing.get_type_hints(value.fget)["return"])
        elif not isinstance(value, classmethod):
            found[name] = _kind(hints.get(name, Callable))
    return found


def _kind(hint: Any) -> Any:
    """The class, or union of classes, that a type hint names, without ClassVar and type arguments."""
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        return hint
    return _kind(typing.get_args(hint)[0]) if origin is ClassVar else origin or hint


def _declared(owner: type, base: type) -> list[str]:
    """Public names that `owner` has and `base` has not, or has otherwise."""
    kinds = (kind for kind in owner.__mro__ if kind not in base.__mro__)
    return list(dict.fromkeys(name for kind in kinds for name in filter(_is_public, _names(kind))))


def _names(kind: type) -> tuple[str, ...]:
    return (*inspect.get_annotations(kind), *vars(kind))


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _misnamed(name: str, kind: Any, hooks: Mapping[str, Any]) -> str:
    """Why a name that is no hook must not be one that nobody reads; empty for a setting or a helper of the owner's."""
    if kind is Field:
        return "is a setting of a class that is no dataclass itself; put @dataclass above the class."
    meant = difflib.get_close_matches(name.lower(), hooks, n=1, cutoff=ALIKE)
    meant = meant or [hook for hook, wanted in hooks.items() if kind is wanted and is_dataclass(wanted)]
    if not meant:
        return ""
    return (
        f"is no hook, so nothing would read it; did you mean {meant[0]!r}? Hooks: {', '.join(sorted(hooks))}. "
        "Rename it: a setting of your own needs a name and a type that are no hook's."
    )


def _fits(value: object, wanted: Any) -> bool:
    is_computed = isinstance(value, property | cached_property)
    return wanted is not Callable if is_computed else isinstance(value, wanted)


def _unfit(kind: Any, wanted: Any) -> str:
    found, needed = (getattr(one, "__name__", str(one)) for one in (kind, wanted))
    hint = "; add @property" if found == "function" else ""
    return f"is of type {found}; needed: {needed}{hint}."
