"""Tells the front of a stage what to show the API: written where the front's stack reads it, in us-east-1.

    python -m infra.operations.front_key --stage production

Does nothing for a stage without a front. Part of `make deploy`, and safe to run at any time: the value follows from the
stage's newest key. Functions take those of older keys, too, so a rotation shuts nobody out.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import boto3

from infra.operations.adopt_table import stage_settings
from infra.parameters import FRONT_KEY, FRONT_REGION, PUBLISHED, parameter_name
from infra.stages import UnusableStageError
from shared.aws.stage_keys import StageKeys

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient


def write_front_key(ssm: Any, secrets: "SecretsManagerClient", at_front: Any, stage: str) -> None:
    """``ssm``, ``at_front``: Systems Manager of the stage's Region and of the front's.

    Raises ParameterNotFound where the stage has no keys yet.
    """
    arn = ssm.get_parameter(Name=parameter_name(stage, PUBLISHED["KeysSecretArn"]))["Parameter"]["Value"]
    keys = StageKeys.fetch(secrets, arn)
    at_front.put_parameter(
        Name=parameter_name(stage, FRONT_KEY), Value=keys.front_keys()[0], Type="String", Overwrite=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write it for a stage, with the credentials and the Region of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    name = parser.parse_args(arguments).stage
    try:
        if stage_settings(name).front_certificate_arn is None:
            return 0
    except UnusableStageError as refused:
        sys.stderr.write(f"checkback: {refused}\n")
        return 2
    ssm = boto3.client("ssm")
    try:
        write_front_key(ssm, boto3.client("secretsmanager"), boto3.client("ssm", region_name=FRONT_REGION), name)
    except ssm.exceptions.ParameterNotFound:
        sys.stderr.write(f"checkback: stage {name} has no keys yet: deploy it once without front_certificate_arn\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
