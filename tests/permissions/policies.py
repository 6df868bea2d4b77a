"""What a function's role allows, read from the synthesised template, and whether that is what was needed.

Resources are named by environment variables, as in ``needs``. The rules are IAM's for policies that only allow: an
action is allowed by a statement that names action and resource (``*`` and ``?`` stand for anything) and whose
conditions all hold; a condition on a key that the request does not have does not hold, unless it is negated (IAM User
Guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition operators"). Anything else in a statement is
refused: nothing is passed over.

moto's own evaluator (``moto.iam.access_control``) takes a condition that does not hold for a refusal and knows no
``?``; no library was found that says which statement allows.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from tests.permissions.needs import ACCOUNT, NAMED, REGION, WATCHED_QUEUES, Need, beginning_named

type Template = Mapping[str, Any]

_PSEUDO = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
_WILD = {"*": ".*", "?": "."}


class Grant(NamedTuple):
    """One action on one resource (with ``*``), where the conditions hold: each a key and the values it may have.

    ``unless``: a key and the values it may not have; one that the request does not have is none of them.
    """

    action: str
    resource: str
    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unless: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def allows(self, need: Need) -> bool:
        """Whether this alone allows it."""
        given = dict(need.context)
        return (
            bool(_pattern(self.action.casefold()).fullmatch(need.action.casefold()))
            and bool(_pattern(self.resource).fullmatch(need.resource))
            and all(
                key in given and any(_pattern(own).fullmatch(given[key]) for own in values)
                for key, values in self.conditions
            )
            and all(given.get(key) not in values for key, values in self.unless)
        )


@cache
def _pattern(written: str) -> re.Pattern[str]:
    return re.compile("".join(_WILD.get(own) or re.escape(own) for own in written), re.DOTALL)


class Policies:
    """The rights of every function of a service stack."""

    def __init__(self, template: Template) -> None:
        """``template`` as the CDK wrote it."""
        self._resources: Mapping[str, Any] = template["Resources"]
        functions = {name: own for name, own in self._of("Lambda::Function") if _name_of(own)}
        self._variables = dict(_variables(functions.values()))
        self.written = dict(_written(functions.values()))
        """Variables that hold a name as a text, by it."""
        self._roles = {str(_name_of(own)): own["Properties"]["Role"]["Fn::GetAtt"][0] for own in functions.values()}

    @property
    def functions(self) -> list[str]:
        """Their short names."""
        return sorted(self._roles)

    def grants(self, function: str) -> list[Grant]:
        """Everything it may do, each action on each resource by itself."""
        role = self._roles[function]
        kept = self._resources[role]["Properties"]
        assert not kept.keys() & {"ManagedPolicyArns", "Policies"}, f"{function}: rights that are not looked at"
        return [
            grant
            for _, policy in self._of("IAM::Policy")
            if {"Ref": role} in policy["Properties"]["Roles"]
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            for grant in self._of_statement(statement)
        ]

    def log_group(self, function: str) -> str:
        """The ARN of the group it logs to."""
        for _, own in self._of("Lambda::Function"):
            if _name_of(own) == function:
                return str(self.named({"Fn::GetAtt": [own["Properties"]["LoggingConfig"]["LogGroup"]["Ref"], "Arn"]}))
        raise AssertionError(function)

    def sources(self, function: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The ARNs of what Lambda itself reads for the function, each with its mapping's properties."""
        for _, mapping in self._of("Lambda::EventSourceMapping"):
            if self._led_to(mapping["Properties"]["FunctionName"]) == function:
                yield self.named(mapping["Properties"]["EventSourceArn"]), mapping["Properties"]

    def named(self, value: Any) -> str:
        """A text of the template, in which resources stand as the functions' variables name them."""
        match value:
            case str():
                return value
            case {"Ref": str(name)}:
                return str(_PSEUDO.get(name) or self._variables.get(name) or name)
            case {"Fn::GetAtt": [str(name), "Arn"]}:
                return self._arn(name)
            case {"Fn::Join": [str(between), [*parts]]}:
                return str(between.join(map(self.named, parts)))
        raise AssertionError(f"cannot be read: {value}")

    def _by_variable(self, arn: str) -> str:
        """An ARN whose last part is what a variable holds."""
        before, between, last = arn.rpartition("/")
        return before + between + self.written.get(last, last)

    def _arn(self, name: str) -> str:
        named = self._variables.get(name, name)
        match self._resources[name]["Type"]:
            case "AWS::SQS::Queue":
                return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{named}"
            case "AWS::IAM::Role":
                return str(named)
            case "AWS::Logs::LogGroup":
                return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{named}:*"
        raise AssertionError(f"cannot be read: the ARN of {name}")

    def _of_statement(self, statement: Mapping[str, Any]) -> Iterator[Grant]:
        assert statement["Effect"] == "Allow"
        assert statement.keys() <= {"Effect", "Action", "Resource", "Condition", "Sid"}
        conditions: list[tuple[str, tuple[str, ...]]] = []
        unless: list[tuple[str, tuple[str, ...]]] = []
        for operator, keys in statement.get("Condition", {}).items():
            assert operator in {"StringEquals", "StringLike", "StringNotEquals"}, f"{operator} is not looked at"
            for key, values in keys.items():
                wanted = tuple(beginning_named(self.named(own), self.written) for own in _as_list(values))
                assert operator == "StringLike" or not any({"*", "?"} & set(own) for own in wanted)
                (unless if operator == "StringNotEquals" else conditions).append((key, wanted))
        for action in _as_list(statement["Action"]):
            for resource in _as_list(statement["Resource"]):
                yield Grant(action, self._by_variable(self.named(resource)), tuple(conditions), tuple(unless))

    def _led_to(self, reference: Any) -> str | None:
        """The short name of the function that a reference leads to, also by its alias."""
        for name in _references(reference):
            own = self._resources.get(name, {})
            if own.get("Type") == "AWS::Lambda::Function":
                return _name_of(own)
            if own.get("Type") == "AWS::Lambda::Alias":
                return self._led_to(own["Properties"]["FunctionName"])
        return None

    def _of(self, kind: str) -> Iterator[tuple[str, Any]]:
        return ((name, own) for name, own in self._resources.items() if own["Type"] == f"AWS::{kind}")


def _name_of(function: Mapping[str, Any]) -> str | None:
    """The short name of a function of ours; None of those that the CDK brings along."""
    variables = function["Properties"].get("Environment", {}).get("Variables", {})
    name: str | None = variables.get("POWERTOOLS_SERVICE_NAME")
    return name


def _variables(functions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Which variable holds the name, URL or ARN of a resource or parameter."""
    for function in functions:
        for variable, value in function["Properties"]["Environment"]["Variables"].items():
            if variable == WATCHED_QUEUES:
                parts = value["Fn::Join"][1]
                for said, own in zip(parts[::2], parts[1::2], strict=True):
                    yield own["Fn::GetAtt"][0], f"{said.strip(' =')}_QUEUE_URL"
            if not NAMED.fullmatch(variable):
                continue
            match value:
                case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), "Arn"]}:
                    yield name, variable


def _written(functions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Which variable holds a name that the template itself writes out."""
    for function in functions:
        for variable, value in function["Properties"]["Environment"]["Variables"].items():
            if NAMED.fullmatch(variable) and isinstance(value, str):
                yield value, variable


def _references(value: Any) -> Iterator[str]:
    """The logical ids in a value."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            yield name
        case dict():
            for own in value.values():
                yield from _references(own)
        case list():
            for own in value:
                yield from _references(own)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
