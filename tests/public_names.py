"""Write the public names and their signatures: ``python -m tests.public_names``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lgpi_research

FILE = Path(__file__).with_suffix(".txt")


def _signature(function: Any) -> str:
    """Return names, kinds and defaults of the parameters; their types may become wider."""
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def _members(owner: type) -> Iterator[str]:
    fields = getattr(owner, "__dataclass_fields__", {})  # they stand in the signature
    for name in sorted(set(dir(owner)) - set(fields)):
        member = inspect.getattr_static(owner, name)
        if name.startswith("_") or not _is_ours(owner, name):
            continue
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        yield name + (_signature(member) if inspect.isfunction(member) else "")


def _is_ours(owner: type, name: str) -> bool:
    """Return whether a member is defined by the package, not inherited from elsewhere."""
    homes = [base for base in owner.__mro__ if name in vars(base)]
    return homes[0].__module__.startswith("lgpi_research")


def listing() -> str:
    """Return one line for each public name, and for each public member of a class."""
    lines = []
    for name in sorted(lgpi_research.__all__):
        value = getattr(lgpi_research, name)
        if inspect.isclass(value):
            error = issubclass(value, BaseException)
            lines.append(name if error else name + _signature(value))
            lines += [f"{name}.{member}" for member in _members(value)]
        elif callable(value):
            lines.append(name + _signature(value))
        else:
            lines.append(name)
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    FILE.write_text(listing(), encoding="utf-8", newline="\n")
