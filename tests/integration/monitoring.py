"""CloudWatch as a test wants it to answer, in its API reference's shapes (``DescribeAlarms``, ``GetMetricData``)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

AT = datetime(2026, 11, 28, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
type Told = dict[str, Any] | Exception


class _Answer(NamedTuple):
    status_code: int


class Monitoring:
    """What CloudWatch says, by operation; ``asked`` is what it was asked."""

    def __init__(self) -> None:
        self.says: dict[str, Callable[[dict[str, Any]], Told]] = {
            "DescribeAlarms": lambda _: {"MetricAlarms": [], "CompositeAlarms": []},
            "GetMetricData": self.measures({}),
        }
        self.asked: dict[str, list[dict[str, Any]]] = {}

    def measures(self, values: dict[str, list[float]], status: str = "Complete") -> Callable[[dict[str, Any]], Told]:
        """Values by metric's name (of a queue: the queue's), the newest first, a minute apart."""

        def answer(asked: dict[str, Any]) -> Told:
            results = []
            for query in asked["MetricDataQueries"]:
                metric = query["MetricStat"]["Metric"]
                (*_, last) = [own["Value"] for own in metric["Dimensions"]]
                found = values.get(metric["MetricName"], values.get(last, []))
                times = [AT - MINUTE * at for at in range(len(found))]
                results.append({"Id": query["Id"], "Timestamps": times, "Values": found, "StatusCode": status})
            return {"MetricDataResults": results}

        return answer

    def refuses(self, operation: str, code: str) -> None:
        """From now on it refuses an operation."""
        self.says[operation] = lambda _: {"Error": {"Code": code, "Message": "no"}}

    def answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[_Answer, Any]:
        """In place of the request."""
        given = self._given[model.name]
        self.asked.setdefault(model.name, []).append(given)
        told = self.says[model.name](given)
        if isinstance(told, Exception):
            raise told
        return _Answer(400 if "Error" in told else 200), told

    def note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """What is asked, before it is written out as a request."""
        self._given = getattr(self, "_given", {}) | {model.name: params}


def alarm(name: str, state: str = "OK", **more: Any) -> dict[str, Any]:
    return {
        "AlarmName": f"checkback-prod-service-Alarms{name}1364B28B-19CB",
        "AlarmDescription": f"Something is wrong. Stage prod. docs/runbook.md#{name.lower()}",
        "StateValue": state,
        "StateUpdatedTimestamp": AT,
        "ActionsEnabled": True,
    } | more
