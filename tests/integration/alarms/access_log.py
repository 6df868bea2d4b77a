"""An HTTP API's access log, and the metrics that CloudWatch Logs makes of it, as both are documented.

Amazon API Gateway Developer Guide, "Configuring logging for HTTP APIs" (``$context`` variables stand for their values
in the stage's format); Amazon CloudWatch Logs User Guide, "Filter pattern syntax" (``*`` in a text stands for anything)
and "Creating metrics from log events" (a value is a number, a dimension the text of a field; percentiles are there as
for any metric).
"""

import json
import re
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from tests.integration.alarms.cloudwatch import CloudWatch, Series
from tests.unit.infra.conftest import StackTemplate

_ONE_FIELD = re.compile(r'\{ \$\.(\w+) = "([^"]*)" \}')


class AccessLog:
    """The log of a template's API."""

    def __init__(self, service: StackTemplate) -> None:
        settings = service.only("ApiGatewayV2::Stage")["Properties"]["AccessLogSettings"]
        (group, _) = settings["DestinationArn"]["Fn::GetAtt"]
        self._format: str = settings["Format"]
        self._filters = [
            own["Properties"]
            for own in service.resources("Logs::MetricFilter").values()
            if own["Properties"]["LogGroupName"] == {"Ref": group}
        ]

    def line(self, **context: object) -> dict[str, Any]:
        """A request's line; a variable that is not given is written as ``-``."""
        written = re.sub(r"\$context\.(\w+)", lambda own: str(context.get(own[1], "-")), self._format)
        read: dict[str, Any] = json.loads(written)
        return read

    def write(self, watched: CloudWatch, at: datetime, **context: object) -> None:
        """A request's line, and what comes of it as metrics."""
        line = self.line(**context)
        for own in self._filters:
            if not _matches(own["FilterPattern"], line):
                continue
            for made in own["MetricTransformations"]:
                value = _field(made["MetricValue"], line)
                assert isinstance(value, int | float), "a text is no value"
                dimensions = {each["Key"]: _field(each["Value"], line) for each in made["Dimensions"]}
                watched.put(Series.of(made["MetricNamespace"], made["MetricName"], dimensions), at, value)


def _matches(pattern: str, line: dict[str, Any]) -> bool:
    found = _ONE_FIELD.fullmatch(pattern)
    if found is None:
        raise NotImplementedError(pattern)
    return fnmatchcase(str(line[found[1]]), found[2].replace("[", "[[]"))


def _field(selector: str, line: dict[str, Any]) -> Any:
    assert selector.startswith("$.")
    return line[selector.removeprefix("$.")]
