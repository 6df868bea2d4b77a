"""Liquid itself: python-liquid with our tags, filters and bounds. Runs in ``liquid_worker`` and nowhere else.

What is bounded in here ends with a sentence for the merchant. It is not what the other processes rely on: filters of
the library work in C, and whatever is missed here is ended by the kernel.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from shared.destinations.liquid import DEFAULT_LOCALE, MAX_SOURCE, money_text
from shared.destinations.liquid_sandbox import TAKES_TOO_LONG, Mode, TemplateError, TemplateLimit

if TYPE_CHECKING:
    from liquid import Environment
    from liquid.ast import Node
    from liquid.context import RenderContext
    from liquid.expression import Expression
    from liquid.template import BoundTemplate

MAX_OUTPUT_BYTES: Final = 256 * 1024
MAX_ITERATIONS: Final = 2_000
_MAX_LOCAL_BYTES: Final = 256 * 1024
_LONGEST_VALUE: Final = 64 * 1024
_LONGEST_LIST: Final = 5_000
_HEAVIEST_VALUE: Final = 512 * 1024
_LARGEST_NUMBER: Final = 10**18
_REMOVED_TAGS: Final = ("include", "render", "tablerow")
# What a template has captured or echoed could not be told from its own text any more when values are escaped.
_REMOVED_FROM_JSON: Final = ("capture", "echo", "liquid", "ifchanged", "cycle")
# Filters that take a list as it is; the others write it out first.
_OF_LISTS: Final = frozenset(
    {"compact", "concat", "default", "find", "find_index", "first", "has", "last", "map", "reject", "reverse", "size"}
    | {"slice", "sort", "sum", "uniq", "where"}
)


class TookTooLong(TemplateLimit):
    """The limit was one of time."""


class _Unfilled(TemplateError):
    """Not with these values."""


class Clock(list[str]):
    """Ends a rendering after ``seconds`` of processor time.

    Given to the library as the list of disabled tags: before each node it asks whether there are any.
    """

    def __init__(self, seconds: float) -> None:
        """The time begins now."""
        super().__init__()
        self._ends = time.process_time() + seconds

    def __bool__(self) -> bool:
        if time.process_time() > self._ends:
            raise TookTooLong(TAKES_TOO_LONG)
        return False


def load() -> None:
    """Import and set up everything that a first template would otherwise have to wait for."""
    import_module("babel.numbers")
    for mode in ("text", "html", "json"):
        _environment(mode)


def check(source: str, mode: Mode, sample: Mapping[str, Any], clock: Clock) -> None:
    """Refuse a template that is none, or goes beyond a limit with ``sample``, where whatever is missing is empty.

    Raises:
        TemplateError, TemplateLimit.
    """
    lenient = _environment(mode, lenient=True)
    try:
        _filled(lenient.template_class(lenient, _parsed(source, mode).nodes), sample, DEFAULT_LOCALE, clock)
    except _Unfilled:
        # From this sample. Another checkout may have what it needs.
        return


def rendered(source: str, mode: Mode, variables: Mapping[str, Any], locale: str, clock: Clock) -> str:
    """The template filled with ``variables``; in mode ``json`` a compact JSON document.

    Raises:
        TemplateError: it does not parse, uses an undefined variable, or does not make JSON where it should.
        TemplateLimit: it goes beyond a limit.
    """
    text = _filled(_parsed(source, mode), variables, locale, clock)
    return _document(text) if mode == "json" else text


def _document(text: str) -> str:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        made = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        # Half of a surrogate pair has no UTF-8; its escape says the same.
        return made if _encodable(made) else json.dumps(document, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise TemplateError("the template does not make valid JSON") from None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _filled(template: "BoundTemplate", variables: Mapping[str, Any], locale: str, clock: Clock) -> str:
    from liquid.exceptions import LiquidError, ResourceLimitError, UndefinedError
    from liquid.output import LimitedStringIO

    context: Any = template.context_class(template, globals=template.make_globals(variables))
    context.disabled_tags, context.locale = clock, locale
    output = LimitedStringIO(limit=MAX_OUTPUT_BYTES)
    try:
        template.render_with_context(context, output)
        return output.getvalue()
    except UndefinedError as error:
        raise _Unfilled(f"the checkout has no value for the template: {error.message}") from None
    except ResourceLimitError as error:
        raise _too_much(error.message) from None
    except LiquidError as error:
        # The message may quote a value, so only the place is told.
        raise _Unfilled(f"the template cannot be rendered{_place(error)}") from None
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, TemplateError):
            raise
        # Filters of the library let through what Python raises on odd values.
        raise _Unfilled("the template cannot be rendered with this checkout's values") from None


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
    for node in _nodes(template.nodes, RenderContext(template)):
        _refuse_ranges(node)
    unknown = sorted(set(_filter_names(template)) - set(_environment(mode).filters))
    if unknown:
        raise TemplateError(f"unknown filter: {', '.join(unknown)}")
    return template


def _nodes(nodes: Iterable["Node"], context: "RenderContext") -> Iterable["Node"]:
    for node in nodes:
        yield node
        yield from _nodes(node.children(context, include_partials=False), context)


def _refuse_ranges(node: "Node") -> None:
    """Tell early what no checkout could mend: a range that is too long as it is written, or looped over in reverse."""
    from liquid.builtin.expressions import LoopExpression
    from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral

    for whole in node.expressions():
        for expression in _expressions(whole):
            if isinstance(expression, LoopExpression) and expression.reversed:
                if isinstance(expression.iterable, RangeLiteral):
                    raise TemplateError("a range cannot be looped over in reverse")
            elif isinstance(expression, RangeLiteral):
                start, stop = expression.start, expression.stop
                if isinstance(start, IntegerLiteral) and isinstance(stop, IntegerLiteral):
                    _check_range(range(start.value, stop.value + 1))


def _expressions(whole: "Expression") -> Iterable["Expression"]:
    yield whole
    for part in whole.children():
        yield from _expressions(part)


def _filter_names(template: "BoundTemplate") -> Iterable[str]:
    return template.analyze(include_partials=False).filters


def _place(error: Any) -> str:
    token = error.token
    if token is None or token.start_index < 0:
        return ""
    return f" (line {token.source.count(chr(10), 0, token.start_index) + 1})"


def _too_much(detail: object) -> TemplateLimit:
    return TemplateLimit(f"the template asks for too much: {detail}")


@cache
def _bound_ranges() -> None:
    """No range longer than the iteration limit is ever made, whichever construct asks for one.

    The library has no setting for it, and one place where ranges are made: so that place is replaced.
    """
    from liquid.builtin.expressions.primitive import RangeLiteral

    unbounded = RangeLiteral.evaluate

    def bounded(literal: RangeLiteral, context: "RenderContext") -> range:
        made = unbounded(literal, context)
        _check_range(made)
        return made

    RangeLiteral.evaluate = bounded  # type: ignore[assignment,method-assign]


def _check_range(made: range) -> None:
    # len() fails beyond the platform's word size.
    if made.stop - made.start > MAX_ITERATIONS:
        raise _too_much(f"a range has at most {MAX_ITERATIONS} numbers")


@cache
def _environment(mode: Mode, *, lenient: bool = False) -> "Environment":
    """``lenient``: what is missing is empty, not an error."""
    from liquid import Environment
    from liquid.builtin.output import Output, OutputNode
    from liquid.context import RenderContext
    from liquid.exceptions import LiquidTypeError
    from liquid.stringify import to_liquid_string
    from liquid.template import BoundTemplate
    from liquid.undefined import FalsyStrictUndefined, Undefined

    _bound_ranges()

    class Missing(FalsyStrictUndefined):
        """A name without a value: false in a test, replaced by ``default``, an error anywhere else."""

        force_liquid_default = True

    class Context(RenderContext):
        """A context whose filters accept and return bounded values only."""

        locale = DEFAULT_LOCALE

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
            _check_weight(value)
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

    made = Sandbox(undefined=Undefined if lenient else Missing, autoescape=mode == "html")
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
        return money_text(str(amount), str(code), context.locale)
    except ValueError:
        raise FilterArgumentError("money needs an amount and a currency", token=None) from None


_money_filter.with_context = True  # type: ignore[attr-defined]  # how python-liquid marks filters that want the context


def _bounded(name: str, function: Callable[..., object]) -> Callable[..., object]:
    def filtered(value: object, *args: object, **options: object) -> object:
        for given in (value, *args, *options.values()):
            _check(given)
            if name not in _OF_LISTS:
                _check_weight(given)
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
            raise _too_much("a text is too long")
    elif isinstance(value, list | tuple):
        if len(value) > _LONGEST_LIST:
            raise _too_much("a list is too long")
    elif isinstance(value, range):
        _check_range(value)
    elif isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise _too_much("a number is too large")


def _check_weight(value: object) -> None:
    """Refuse a collection that would be a huge text once written out: its parts may be one text many times over."""
    if not isinstance(value, list | tuple | dict):
        return
    weight = 0
    parts: list[object] = [value]
    while parts:
        part = parts.pop()
        weight += len(part) if isinstance(part, str) else 8
        if weight > _HEAVIEST_VALUE:
            raise _too_much("a list is too long to be written")
        if isinstance(part, dict):
            parts += part.values()
        elif isinstance(part, list | tuple):
            parts += part


def _check_growth(times: int, part: object, already: int = 0) -> None:
    if already + times * len(_as_text(part)) > _LONGEST_VALUE:
        raise _too_much("a text is too long")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _refuse_constant(_name: str) -> Any:
    raise ValueError("NaN and infinities are not JSON")
