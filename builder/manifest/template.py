"""Jinja2 expressions in values; calls and loops are off.

Jinja sees what stands between `{{` and `}}` and nothing else: its comments, statements and
whitespace control mean something to shell scripts too. Calls and repetition are off: a manifest
has no need of them, and without them no expression can run long or grow large.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2.environment import TemplateExpression
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from builder.texts import nearest, quote

MAX_TEMPLATE = 64 << 10
# `replace` is missing on purpose: chained, it makes a short expression grow without bound
FILTERS = ("lower", "upper", "default")
# from `{{` to the first `}}` that is in no string
_EXPRESSION = re.compile(
    r"""\{\{((?:[^"'}]|\}(?!\})|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')*+)\}\}""", re.DOTALL
)


class _Expressions(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        raise SecurityError(f"operator {operator} is not allowed in a manifest")

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        raise SecurityError("function calls are not allowed in a manifest")


def _environment() -> _Expressions:
    environment = _Expressions(undefined=StrictUndefined, autoescape=False)
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    environment.globals.clear()
    return environment


_ENVIRONMENT = _environment()


def is_template(text: str) -> bool:
    return "{{" in text


def render(text: str, variables: Mapping[str, str | int]) -> str:
    """The text with its expressions filled in; ValueError has the reason."""
    if len(text) > MAX_TEMPLATE:
        raise ValueError(f"a value with `{{{{` is limited to {MAX_TEMPLATE >> 10} KiB")
    try:
        return "".join(_pieces(text, variables))
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


def _pieces(text: str, variables: Mapping[str, str | int]) -> Iterator[str]:
    """The text between expressions as it is, and what the expressions are."""
    end = 0
    while (start := text.find("{{", end)) >= 0:
        found = _EXPRESSION.match(text, start)
        if found is None:
            line = text.count("\n", 0, start) + 1
            raise TemplateSyntaxError(f"`{{{{` without `}}}}` in line {line} of the value", line)
        yield text[end:start]
        # as a string at once: what is undefined says so only then
        yield str(_compiled(found[1])(**variables))
        end = found.end()
    yield text[end:]


@lru_cache(256)
def _compiled(expression: str) -> TemplateExpression:
    return _ENVIRONMENT.compile_expression(expression, undefined_to_none=False)
