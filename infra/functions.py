"""The Lambda functions: size, time and the AWS services they call."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, get_args

FunctionName = Literal[
    "ingest",
    "merchant_api",
    "sweep",
    "dispatch",
    "deliver",
    "redirect",
    "callbacks",
    "pull",
    "campaign",
    "reading",
    "console",
]
FUNCTION_NAMES: tuple[FunctionName, ...] = get_args(FunctionName)
NAME_OUTPUT: Final = "FunctionName"
"""What the outputs with functions' names in AWS end in."""
LIVE: Final = "live"
"""The alias of each function that everything leads to; not on the local engine."""


def construct_id(name: str) -> str:
    """What a function is called in its stack: ``MerchantApi`` for ``merchant_api``."""
    return "".join(word.capitalize() for word in name.split("_"))


def name_output(name: str) -> str:
    """The service stack's output with what a function is called in AWS."""
    return construct_id(name) + NAME_OUTPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """``services``: the AWS clients the function makes, by botocore's name; its bundle holds no other.

    Its third-party packages are those of ``requirements/<name>.txt``. ``chains``: it sends to a queue that it reads,
    and means to; Lambda would otherwise drop a message after about 16 such turns. ``hurried``: somebody waits for its
    answer and will ask again, so that its calls to AWS are soon given up. ``asked``: it answers requests of the
    API; a new version of it takes over gradually. ``routes``: it finds its way by Powertools' router.
    ``prepares``: at init it does ahead what its first call would wait for. ``calls``: other functions whose code it
    runs in its own process, and carries along. ``samples``: it carries what makes providers' sample webhooks.
    ``carries``: further files of the project that it shows.
    """

    name: FunctionName
    purpose: str
    memory_mb: int
    timeout: timedelta
    services: tuple[str, ...]
    chains: bool = False
    hurried: bool = False
    asked: bool = False
    routes: bool = False
    prepares: bool = False
    calls: tuple[FunctionName, ...] = ()
    samples: bool = False
    carries: tuple[str, ...] = ()


FUNCTIONS: dict[FunctionName, FunctionSpec] = {
    spec.name: spec
    for spec in (
        FunctionSpec(
            name="ingest",
            purpose="Proves, normalises and stores provider webhooks",
            memory_mb=512,
            timeout=timedelta(seconds=10),
            services=("dynamodb", "kms", "s3", "secretsmanager", "sqs"),
            hurried=True,
            asked=True,
            prepares=True,
        ),
        FunctionSpec(
            name="merchant_api",
            purpose="Answers merchants and operators",
            memory_mb=1024,
            timeout=timedelta(seconds=29),
            services=("cloudwatch", "dynamodb", "kms", "s3", "scheduler", "secretsmanager", "sqs"),
            asked=True,
            prepares=True,
            routes=True,
            samples=True,
        ),
        FunctionSpec(
            name="sweep",
            purpose="Moves what is due",
            memory_mb=512,
            timeout=timedelta(minutes=5),
            services=("dynamodb", "secretsmanager", "sqs"),
        ),
        FunctionSpec(
            name="dispatch",
            purpose="Turns committed transitions into events and deliveries",
            memory_mb=512,
            timeout=timedelta(minutes=1),
            services=("dynamodb", "events", "s3", "secretsmanager", "sqs"),
        ),
        FunctionSpec(
            name="deliver",
            purpose="Sends deliveries to endpoints",
            memory_mb=512,
            timeout=timedelta(minutes=1),
            services=("dynamodb", "kms", "secretsmanager", "sqs"),
            chains=True,
        ),
        FunctionSpec(
            name="callbacks",
            purpose="Takes vendors' status webhooks",
            memory_mb=512,
            timeout=timedelta(seconds=10),
            services=("dynamodb", "kms", "secretsmanager"),
            asked=True,
        ),
        FunctionSpec(
            name="redirect",
            purpose="Answers recovery and unsubscribe links",
            memory_mb=512,
            timeout=timedelta(seconds=10),
            services=("dynamodb", "secretsmanager"),
            asked=True,
            prepares=True,
        ),
        FunctionSpec(
            name="reading",
            purpose="Answers Shopify's and Wix' clients",
            memory_mb=1024,
            timeout=timedelta(seconds=29),
            services=("dynamodb", "secretsmanager"),
            asked=True,
            prepares=True,
        ),
        FunctionSpec(
            name="pull",
            purpose="Asks providers' APIs for contents and past checkouts",
            memory_mb=512,
            timeout=timedelta(minutes=2),
            services=("dynamodb", "kms", "secretsmanager", "sqs"),
            chains=True,
        ),
        FunctionSpec(
            name="campaign",
            purpose="Runs merchants' scheduled campaigns, writes files of facts",
            memory_mb=512,
            timeout=timedelta(minutes=2),
            services=("dynamodb", "s3", "scheduler", "secretsmanager", "sqs"),
            chains=True,
        ),
        FunctionSpec(
            name="console",
            purpose="Shows merchants their checkouts in a browser",
            memory_mb=1024,
            timeout=timedelta(seconds=29),
            services=("cloudwatch", "dynamodb", "kms", "s3", "scheduler", "secretsmanager", "sqs"),
            asked=True,
            prepares=True,
            routes=True,
            calls=("merchant_api",),
            samples=True,
            carries=("docs/runbook.md",),
        ),
    )
}
