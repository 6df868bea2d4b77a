"""A metric's line is the one that Powertools writes."""

import json

import pytest
import time_machine
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from shared.aws.embedded_metrics import NAMESPACE, count, measure

NOW = 1_790_000_000


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "dev")


@time_machine.travel(NOW, tick=False)
def test_the_line_is_that_of_powertools(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"cause": "row", "code": "Über"}
    count("SetAside", service="dispatch", about=about)
    measure("Waited", 1.25, service="deliver", unit="Seconds")
    own = capsys.readouterr().out

    for name, value, unit, service, beside in (
        ("SetAside", 1, MetricUnit.Count, "dispatch", about),
        ("Waited", 1.25, MetricUnit.Seconds, "deliver", {}),
    ):
        with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
            metric.add_dimension(name="service", value=service)
            metric.add_dimension(name="stage", value="dev")
            for key, word in beside.items():
                metric.add_metadata(key=key, value=word)
    assert own == capsys.readouterr().out


def test_a_line_is_written_at_once_and_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    count("Heard", service="ingest/wix", about={"said": "two\nlines"})

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["said"] == "two\nlines"
