"""A deployed stage as an operator's commands find it: what its service stack says, and its functions."""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

from infra.functions import FUNCTIONS, LIVE, NAME_OUTPUT, FunctionName

_SPARE_SECONDS = 10
_NEXT_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class FunctionFailed(Exception):
    """The function ended with an error, or did not end."""


class DeployedStage:
    """With the credentials and the Region of this shell."""

    def __init__(self, name: str) -> None:
        """``name``: the stage's."""
        self.name = name

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """What the service stack gives out, by name."""
        stack = f"checkback-{self.name}-service"
        (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {own["OutputKey"]: own["OutputValue"] for own in found.get("Outputs", [])}

    def function(self, name: FunctionName) -> str:
        """What the function is called in AWS."""
        return self.functions[name]

    @property
    def functions(self) -> Mapping[str, str]:
        """What each function is called in AWS, by its name here: the bus' (``event_bus``) where the stage has one."""
        return {
            _NEXT_WORD.sub("_", output.removesuffix(NAME_OUTPUT)).lower(): called
            for output, called in self.outputs.items()
            if output.endswith(NAME_OUTPUT)
        }

    def invoke(self, name: FunctionName, event: Mapping[str, Any]) -> Any:
        """What the function answers. Waits as long as it may run, and asks once. Raises FunctionFailed."""
        patience = int(FUNCTIONS[name].timeout.total_seconds()) + _SPARE_SECONDS
        client = boto3.client("lambda", config=Config(read_timeout=patience, retries={"total_max_attempts": 1}))
        answer = client.invoke(FunctionName=self.function(name), Qualifier=LIVE, Payload=json.dumps(event).encode())
        if error := answer.get("FunctionError"):
            raise FunctionFailed(error)
        return json.loads(answer["Payload"].read())
