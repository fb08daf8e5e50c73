"""How templates become texts, for every package that has some: the only door of Jinja2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["environment"]


def environment(package: str, escape: Callable[[str], str] | None = None) -> Environment:
    """The templates of a package, all of one kind of text.

    Args:
        package: Has them in its folder `templates`.
        escape: Keeps what is filled in from being read as markup; None: Jinja2's own, for HTML;
            `str` leaves it as it is.
    """

    def finalize(value: Any) -> Any:
        if escape is None or isinstance(value, Markup):
            return value
        return Markup(escape(str(value)))  # noqa: S704  escaped for another kind of text

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
