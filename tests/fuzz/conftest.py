"""The stage of the integration tests."""

from tests.integration.conftest import _environment, aws, stage

__all__ = ["_environment", "aws", "stage"]
