"""The environment of a function, read once into a frozen object: a missing variable is one named error."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from shared.delivery.own_address import OwnAddress


class MissingVariable(RuntimeError):
    """The function was deployed without a variable it needs."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What every function knows of its stage."""

    stage: str
    table_name: str
    public_url: str
    keys_secret_arn: str
    due_shards: int
    variables: Mapping[str, str]

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> "Environment":
        """Read the process's environment. Raises MissingVariable."""
        given = dict(os.environ if variables is None else variables)
        return cls(
            stage=_required(given, "STAGE"),
            table_name=_required(given, "TABLE_NAME"),
            public_url=_required(given, "PUBLIC_URL").rstrip("/"),
            keys_secret_arn=_required(given, "KEYS_SECRET_ARN"),
            due_shards=int(_required(given, "DUE_SHARDS")),
            variables=given,
        )

    @property
    def local(self) -> bool:
        """Whether this is the local engine, which alone allows loopback destinations and short durations."""
        return self.stage == "local"

    @property
    def own_address(self) -> OwnAddress:
        """Where this stage answers, and nothing is sent to."""
        given = self.variables.get
        return OwnAddress.of(self.public_url, given("API_ID", ""), local=self.local, origin=given("ORIGIN_NAME", ""))

    def variable(self, name: str) -> str:
        """A variable that only some functions have. Raises MissingVariable."""
        return _required(self.variables, name)


def _required(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name, "")
    if not value:
        raise MissingVariable(f"environment variable {name} is not set")
    return value
