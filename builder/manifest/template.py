"""Jinja2 expressions in values; statements, calls and loops are off.

Only a value that contains `{{` is a template. Statements, calls and repetition are off:
a manifest has no need of them, and without them no expression can run long or grow large.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from builder.texts import nearest, quote

MAX_TEMPLATE = 64 << 10
# `replace` is missing on purpose: chained, it makes a short expression grow without bound
FILTERS = ("lower", "upper", "default")


class _Expressions(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        raise SecurityError(f"operator {operator} is not allowed in a manifest")

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        raise SecurityError("function calls are not allowed in a manifest")


def _environment() -> _Expressions:
    # line statements and comments stay off by default; keep a final newline of file contents
    environment = _Expressions(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    environment.globals.clear()
    return environment


_ENVIRONMENT = _environment()


def is_template(text: str) -> bool:
    return "{{" in text


def render(text: str, variables: Mapping[str, str | int]) -> str:
    """The text with its expressions filled in; ValueError has the reason."""
    if "{%" in text:
        raise ValueError("statements `{% ... %}` are not allowed, only expressions `{{ ... }}`")
    if len(text) > MAX_TEMPLATE:
        raise ValueError(f"a value with `{{{{` is limited to {MAX_TEMPLATE >> 10} KiB")
    try:
        return _ENVIRONMENT.from_string(text).render(dict(variables))
    except UndefinedError as error:
        word = next((part for part in (error.message or "").split("'")[1::2]), "")
        known = ", ".join(sorted(variables))
        what = f"unknown variable {quote(word)}{nearest(word, variables)} (use one of {known})"
        raise ValueError(what) from error
    except TemplateSyntaxError as error:
        what = f"template: {error.message}; for a literal `{{{{`, write `{{{{ '{{{{' }}}}`"
        raise ValueError(what) from error
    except Exception as error:  # whatever a foreign expression raises is a mistake of its text
        raise ValueError(f"template: {str(error) or type(error).__name__}"[:200]) from error
