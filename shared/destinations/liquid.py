"""Liquid templates of merchants, rendered in a sandbox: text for messages, HTML for mail, JSON for webhooks.

Templates see plain data only and reach no file, no other template and no attribute of ours. Source, output, loops,
values and CPU time are bounded. A variable that the checkout does not have, or has as null, is an error unless the
template tests for it (``{% if customer.first_name %}``) or names a ``default``.

Language: shopify.github.io/liquid without ``include`` and ``render``, plus the filters ``money`` (a money object, or
an amount and a currency, in the shopper's notation) and ``json``. Implementation: python-liquid, imported at the first
template, as it takes a fifth of a second.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from shared.domain.money import currency_code

if TYPE_CHECKING:
    from liquid import Environment
    from liquid.ast import Node
    from liquid.context import RenderContext
    from liquid.template import BoundTemplate

type Mode = Literal["text", "html", "json"]

MAX_SOURCE: Final = 32_768
MAX_OUTPUT_BYTES: Final = 256 * 1024
MAX_ITERATIONS: Final = 2_000
MAX_CPU_SECONDS: Final = 0.5
_MAX_LOCAL_BYTES: Final = 256 * 1024
_LONGEST_VALUE: Final = 64 * 1024
_LONGEST_LIST: Final = 5_000
_LARGEST_NUMBER: Final = 10**18
_REMOVED_TAGS: Final = ("include", "render", "tablerow")
# What a template has captured or echoed could not be told from its own text any more when values are escaped.
_REMOVED_FROM_JSON: Final = ("capture", "echo", "liquid", "ifchanged", "cycle")
_DEFAULT_LOCALE: Final = "en"


class TemplateError(ValueError):
    """A template that cannot be parsed or rendered. The message names places in the template, never data."""


def is_template(text: str) -> bool:
    """Whether ``text`` holds any Liquid; plain text is its own rendering."""
    return "{{" in text or "{%" in text


def syntax_problem(source: str, mode: Mode = "text") -> str | None:
    """What is wrong with the template's syntax, for whoever registers it; None when it parses."""
    try:
        _parsed(source, mode)
    except TemplateError as error:
        return str(error)
    return None


def present(value: Any) -> Any:
    """``value`` without null members: what a checkout does not know counts as undefined, at any depth."""
    if isinstance(value, Mapping):
        return {name: present(part) for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [present(part) for part in value]
    return value


def render(source: str, variables: Mapping[str, Any], *, locale: str = _DEFAULT_LOCALE) -> str:
    """The template filled with ``variables`` (JSON-like data that ``present`` has seen), as plain text.

    Args:
        source: the template, at most ``MAX_SOURCE`` characters.
        variables: the template's names.
        locale: for the ``money`` filter, e.g. ``en_IN``; an unknown one counts as English.

    Raises:
        TemplateError: it does not parse, uses an undefined variable, or goes beyond a limit.
    """
    return _rendered(source, variables, locale, "text") if is_template(source) else source


def render_html(source: str, variables: Mapping[str, Any], *, locale: str = _DEFAULT_LOCALE) -> str:
    """As ``render``, with every value escaped for HTML text and quoted attributes."""
    return _rendered(source, variables, locale, "html")


def render_json(source: str, variables: Mapping[str, Any], *, locale: str = _DEFAULT_LOCALE) -> bytes:
    """As ``render``, for a template of a JSON document; the result is compact UTF-8 JSON.

    Values are escaped as the inside of a JSON string, so text of a shopper cannot end the string it stands in;
    ``{{ items | json }}`` writes a whole value, quotes included.

    Raises:
        TemplateError: also when the result is not JSON.
    """
    text = _rendered(source, variables, locale, "json")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise TemplateError("the template does not make valid JSON") from None
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def money_text(amount: str | Decimal, currency: str, locale: str = _DEFAULT_LOCALE) -> str:
    """An amount as shoppers write it: ``₹1,499.00`` for ``1499.00``, INR, ``en_IN``.

    Raises:
        ValueError: not a decimal number or not a currency code.
    """
    if currency_code(currency) is None:
        raise ValueError("not an amount of money: no currency code")
    from babel.core import Locale, UnknownLocaleError
    from babel.numbers import format_currency

    try:
        known: Locale | str = Locale.parse(locale.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        known = _DEFAULT_LOCALE
    try:
        text: str = format_currency(Decimal(amount), currency, locale=known)
    except (InvalidOperation, TypeError) as error:
        raise ValueError("not an amount of money") from error
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def _rendered(source: str, variables: Mapping[str, Any], locale: str, mode: Mode) -> str:
    from liquid.exceptions import LiquidError, ResourceLimitError, UndefinedError

    template = _parsed(source, mode)
    try:
        return template.render({**variables, _LOCALE_NAME: locale})
    except UndefinedError as error:
        raise TemplateError(f"the checkout has no value for the template: {error.message}") from None
    except (ResourceLimitError, _TooMuch) as error:
        detail = error.message if isinstance(error, LiquidError) else error
        raise TemplateError(f"the template asks for too much: {detail}") from None
    except LiquidError as error:
        # The message may quote a value, so only the place is told.
        raise TemplateError(f"the template cannot be rendered{_place(error)}") from None
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError):
        # Filters of the library let through what Python raises on odd values.
        raise TemplateError("the template cannot be rendered with this checkout's values") from None


@lru_cache(maxsize=256)
def _parsed(source: str, mode: Mode) -> "BoundTemplate":
    from liquid.context import RenderContext
    from liquid.exceptions import LiquidError

    if len(source) > MAX_SOURCE:
        raise TemplateError(f"a template has at most {MAX_SOURCE} characters")
    try:
        template = _environment(mode).from_string(source)
    except LiquidError as error:
        raise TemplateError(f"not a valid Liquid template{_place(error)}: {error.message}") from None
    except RecursionError:
        raise TemplateError("the template is nested too deeply") from None
    context = RenderContext(template)
    if any(_reverses_range(node, context) for node in template.nodes):
        # The library would lay out the whole range before it counts the iterations.
        raise TemplateError("a range cannot be looped over in reverse")
    unknown = sorted(set(_filter_names(template)) - set(_environment(mode).filters))
    if unknown:
        raise TemplateError(f"unknown filter: {', '.join(unknown)}")
    return template


def _reverses_range(node: "Node", context: "RenderContext") -> bool:
    from liquid.builtin.expressions import LoopExpression
    from liquid.builtin.expressions.primitive import RangeLiteral

    return any(
        isinstance(expression, LoopExpression) and expression.reversed and isinstance(expression.iterable, RangeLiteral)
        for expression in node.expressions()
    ) or any(_reverses_range(child, context) for child in node.children(context, include_partials=False))


def _filter_names(template: "BoundTemplate") -> Iterable[str]:
    return template.analyze(include_partials=False).filters


def _place(error: Any) -> str:
    token = error.token
    if token is None or token.start_index < 0:
        return ""
    return f" (line {token.source.count(chr(10), 0, token.start_index) + 1})"


_LOCALE_NAME: Final = "_locale"


class _TooMuch(Exception):
    """A value or the whole rendering is larger or slower than any message needs."""


@cache
def _environment(mode: Mode) -> "Environment":
    from liquid import Environment
    from liquid.builtin.output import Output, OutputNode
    from liquid.context import RenderContext
    from liquid.exceptions import LiquidTypeError
    from liquid.stringify import to_liquid_string
    from liquid.template import BoundTemplate
    from liquid.undefined import FalsyStrictUndefined

    class Missing(FalsyStrictUndefined):
        """A name without a value: false in a test, replaced by ``default``, an error anywhere else."""

        force_liquid_default = True

    class Clock(list[str]):
        """Every node asks whether tags are disabled before it renders: that is when the clock is read."""

        def __init__(self) -> None:
            super().__init__()
            self._ends = time.thread_time() + MAX_CPU_SECONDS

        def __bool__(self) -> bool:
            if time.thread_time() > self._ends:
                raise _TooMuch("it takes too long")
            return False

    class Context(RenderContext):
        """A context whose filters accept and return bounded values only."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.disabled_tags = Clock()

        def assign(self, key: str, val: Any) -> None:
            _check(val)
            super().assign(key, val)

        def filter(self, name: str, token: Any) -> Callable[..., object]:
            return _bounded(name, super().filter(name, token))

    class Template(BoundTemplate):
        context_class = Context

    class ValueNode(OutputNode):
        def render_to_output(self, context: RenderContext, buffer: Any) -> int:
            value = self.expression.evaluate(context)
            if isinstance(value, dict):
                raise LiquidTypeError("an object cannot be written", token=self.token)
            if mode == "json":
                return int(buffer.write(_json_inside(value)))
            return int(buffer.write(to_liquid_string(value, context.autoescape)))

    class Value(Output):
        node_class = ValueNode

    class Sandbox(Environment):
        template_class = Template
        loop_iteration_limit = MAX_ITERATIONS
        local_namespace_limit = _MAX_LOCAL_BYTES
        output_stream_limit = MAX_OUTPUT_BYTES
        block_nesting_limit = 20

    made = Sandbox(undefined=Missing, autoescape=mode == "html")
    for tag in (*_REMOVED_TAGS, *(_REMOVED_FROM_JSON if mode == "json" else ())):
        del made.tags[tag]
    made.add_tag(Value)
    made.add_filter("json", _json_filter)
    made.add_filter("money", _money_filter)
    return made


class _Json(str):
    """Text that is JSON already."""

    __slots__ = ()


def _json_filter(value: object) -> str:
    from liquid.exceptions import FilterArgumentError

    try:
        return _Json(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError):
        raise FilterArgumentError("not a JSON value", token=None) from None


def _json_inside(value: object) -> str:
    from liquid.stringify import to_liquid_string

    if isinstance(value, _Json):
        return value
    if isinstance(value, list):
        raise TypeError("a list is written with the json filter")
    return json.dumps(to_liquid_string(value, autoescape=False), ensure_ascii=False)[1:-1]


def _money_filter(value: object, currency: object = None, *, context: Any) -> str:
    from liquid.exceptions import FilterArgumentError
    from liquid.undefined import is_undefined

    if is_undefined(value):
        return str(value)
    amount = value.get("amount") if isinstance(value, Mapping) else value
    code = value.get("currency") if isinstance(value, Mapping) else currency
    try:
        return money_text(str(amount), str(code), context.globals[_LOCALE_NAME])
    except ValueError:
        raise FilterArgumentError("money needs an amount and a currency", token=None) from None


_money_filter.with_context = True  # type: ignore[attr-defined]  # how python-liquid marks filters that want the context


def _bounded(name: str, function: Callable[..., object]) -> Callable[..., object]:
    def filtered(value: object, *args: object, **options: object) -> object:
        for given in (value, *args, *options.values()):
            _check(given)
        if name == "replace" and args:
            _check_growth(_as_text(value).count(_as_text(args[0])), args[1] if len(args) > 1 else "")
        elif name == "join" and isinstance(value, list | tuple):
            _check_growth(len(value), args[0] if args else " ", sum(len(_as_text(part)) for part in value))
        result = function(value, *args, **options)
        _check(result)
        return result

    return filtered


def _check(value: object) -> None:
    """Refuse a value that is larger than any message needs."""
    if isinstance(value, str):
        if len(value) > _LONGEST_VALUE:
            raise _TooMuch("a text is too long")
    elif isinstance(value, list | tuple | range):
        # len() of a range fails beyond the platform's word size, far above the limit.
        if len(value[: _LONGEST_LIST + 1]) > _LONGEST_LIST:
            raise _TooMuch("a list is too long")
    elif isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise _TooMuch("a number is too large")


def _check_growth(times: int, part: object, already: int = 0) -> None:
    if already + times * len(_as_text(part)) > _LONGEST_VALUE:
        raise _TooMuch("a text is too long")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _refuse_constant(_name: str) -> Any:
    raise ValueError("NaN and infinities are not JSON")
