"""The stage of the integration tests."""

from tests.integration.conftest import _environment, aws, stage, staged_account

__all__ = ["_environment", "aws", "stage", "staged_account"]
