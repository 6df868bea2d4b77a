"""A stage's settings: a typed object read from the CDK context ``stages`` (cdk.json)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self, get_args

from infra.parameters import tenant_prefix

Architecture = Literal["arm64", "native"]
LONGEST_NAME: Final = 32
"""Of a stage: it begins the names of stacks, and of much that has its own limits."""
LONGEST_FRAME_ANCESTORS: Final = 500
_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9-]{{0,{LONGEST_NAME - 1}}}")
StageMail = Literal["off", "tenants", "shared"]


_OTHERS_SHARE = 5
_PREFIX_OF_A_TENANT = 64 - len("mer_") - 26
"""SES allows a tenant's name 64 characters; the merchant's id takes the rest."""

RETENTION_DAYS = (1, 7, 14, 30, 90, 180, 365)
"""Of those that CloudWatch offers for a log group."""


class UnusableStageError(ValueError):
    """The context names no such stage, or a setting of it that does not exist or has a wrong value."""


_ORIGIN = re.compile(r"https://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What differs between stages; everything else is the same everywhere.

    ``architecture``: ``arm64`` on AWS; ``native`` is this machine's own, for the local engine, which runs the
    functions on it. ``removable``: whether the table, the key and the bucket go with their stack.
    ``throttle_rate`` is requests/s; the webhooks of one source, and of one merchant, should be a small part of it.
    ``domain_name`` and ``certificate_arn`` (of the same region) go together;
    without them the API's own address is the public one, and goes with the service stack: a stage that is not
    ``removable`` must say that it accepts that.
    """

    name: str
    architecture: Architecture = "arm64"
    removable: bool = False
    access_logs: bool = True
    log_retention_days: int = 30
    log_runs: bool = False
    """Whether Lambda tells of each run when it began and what it took: as many bytes again as ours.

    What fails, times out or does not start it tells anyway.
    """
    due_shards: int = 8
    sweep_by_shard: bool = False
    deliveries_concurrency: int = 10
    retries_concurrency: int = 5
    steps_concurrency: int = 5
    slow_concurrency: int = 5
    dispatch_parallelization: int = 2
    gathering_seconds: int = 0
    """How long Lambda may wait for more of the stream's records, and of the delivery queue's messages, before it hands
    over what there is: cheaper the more come together, and later by at most twice that.
    """
    throttle_rate: int = 500
    throttle_burst: int = 250
    webhooks_per_minute_of_source: int = 3_000
    webhooks_per_minute_of_merchant: int = 6_000
    domain_name: str | None = None
    certificate_arn: str | None = None
    accept_disposable_urls: bool = False
    front_certificate_arn: str | None = None
    """Of us-east-1, for ``domain_name``: the stage gets a front, CloudFront with a firewall, which stands before
    ``origin_domain_name``: another name of the API, which ``certificate_arn`` covers too.
    """
    origin_domain_name: str | None = None
    front_only: bool = False
    """Whether requests past the front are refused: once the name leads to it."""
    front_requests_per_ip: int = 10_000
    """What one address may ask in five minutes, of merchants' API and shoppers' links together."""
    front_webhooks_per_ip: int = 300_000
    """The same of webhooks and vendors' reports: a provider sends those of all its shops from a few addresses."""
    alarm_email: str | None = None
    alarm_topic_arn: str | None = None
    """An SNS topic that the alarms use instead of one of their own."""
    never_silent_providers: str | None = None
    """Names of providers, with commas, whose webhooks never stay away for six hours: else an alarm tells."""
    console_frame_ancestors: str | None = None
    """Origins, with commas, whose pages may show the console in a frame, like ``https://admin.example``; else none."""
    monthly_budget_usd: int = 0
    """What the account may cost in a month before somebody is told, by forecast and by bill; 0: nobody is."""
    account_concurrency: int = 0
    """Concurrent executions that the account allows in the Region; 0: nothing is reserved of them.

    A new account has 10, of which nothing can be reserved; after a request mostly 1,000 and more.
    """
    ingest_concurrency: int = 0
    """Reserved for webhooks, whatever else is at work. One that is answered in 50 ms needs 1 for 20 webhooks/s."""
    dispatch_concurrency: int = 0
    """The most that work off the stream at once."""
    merchant_api_concurrency: int = 0
    redirect_concurrency: int = 0
    callbacks_concurrency: int = 0
    reading_concurrency: int = 0
    console_concurrency: int = 0
    """Reserved for each of the others that answer requests, and the most of it: a flood of one takes from no other."""
    gradual_deployment: bool = False
    """Whether a new version of what answers requests takes a tenth of them for ten minutes first, watched by alarms."""
    snap_start: bool = False
    """Whether what answers requests starts from a snapshot: about 2 USD a month for each 512 MB version."""
    restored_table: str | None = None
    """A table restored from a backup, once ``infra.operations.adopt_table`` adopted it: the functions use it."""
    keys_replica_region: str | None = None
    """Where a copy of the secret ``Keys`` is kept, which nothing else can bring back."""
    stage_mail: StageMail = "off"
    """Whether merchants without an AWS account of their own may send mail by the stage's SES.

    ``tenants``: each as an SES tenant of its own, from the identities that ``infra.operations.mail_tenant`` bound to
    it. ``shared``: any from each of ``mail_identities``, for merchants who trust each other.
    """
    event_bus: bool = False
    """Whether every event is put on an event bus of the state stack."""
    event_bus_personal_data: bool = False
    """Whether the events on it say who the shopper is; without it ids, states, times and amounts."""
    facts_bucket: bool = False
    """Whether a file per merchant and day with its facts is kept in a bucket of the state stack."""
    facts_days: int = 400
    """How many days such a file is kept after it was written last; 0: until its merchant is erased."""
    mail_identities: str | None = None
    """Domains and addresses, with commas, that the stage's SES may send from; with ``tenants`` it may be left out."""

    @property
    def is_local(self) -> bool:
        """Whether this is the stage that runs on the local engine, which cannot deploy everything."""
        return self.name == "local"

    @property
    def other_routes_rate(self) -> int:
        """Requests/s of each route for people and merchants: a fifth of what webhooks and vendors' reports have."""
        return max(self.throttle_rate // _OTHERS_SHARE, 1)

    @property
    def other_routes_burst(self) -> int:
        """The same of a burst."""
        return max(self.throttle_burst // _OTHERS_SHARE, 1)

    @property
    def sending_identities(self) -> tuple[str, ...]:
        """Names of SES identities, with ``*``, that the stage's own mail may come from.

        Of an address whose domain is verified, SES does not say which of both it asks IAM about: both count.
        """
        named = [own.strip() for own in (self.mail_identities or "").split(",") if own.strip()]
        if not named:
            return ("*",)
        return tuple(name for own in named for name in ((own,) if "@" in own else (own, f"*@{own}")))

    @classmethod
    def from_context(cls, name: str, stages: object) -> Self:
        """The settings of the stage ``name``. Raises UnusableStageError, which says what would be right."""
        if not isinstance(stages, Mapping):
            msg = "the CDK context has no map 'stages' (see cdk.json)"
            raise UnusableStageError(msg)
        settings = stages.get(name)
        if not isinstance(settings, Mapping):
            msg = f"unknown stage {name!r}: the CDK context 'stages' has {', '.join(sorted(stages))}"
            raise UnusableStageError(msg)
        if not _NAME.fullmatch(name):
            msg = (
                f"stage {name!r}: a name has up to {LONGEST_NAME} letters, digits and hyphens, and begins with a letter"
            )
            raise UnusableStageError(msg)
        known = {field.name: field for field in fields(cls) if field.name != "name"}
        if unknown := sorted(set(settings) - set(known)):
            msg = f"stage {name!r}: unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            raise UnusableStageError(msg)
        for key, value in settings.items():
            _check(name, key, value, known[key].type)
        stage = cls(name=name, **settings)
        stage._check_together()
        return stage

    def check_complete(self) -> None:
        """Whether whoever is hurt by it has said so: for stages that are kept. Raises UnusableStageError."""
        missing = [] if self.removable else list(self._missing())
        if missing:
            msg = f"stage {self.name!r} is kept, and needs in cdk.json:\n" + "\n".join(f"  {own}" for own in missing)
            raise UnusableStageError(msg)

    def _missing(self) -> Iterator[str]:
        if self.domain_name is None and not self.accept_disposable_urls:
            yield (
                "domain_name and certificate_arn: without a name of your own every URL that providers and shoppers "
                "hold dies with the service stack (or accept_disposable_urls: true)"
            )
        if self.alarm_email is None and self.alarm_topic_arn is None:
            yield "alarm_email: whom the alarms wake (or alarm_topic_arn)"
        if not (self.account_concurrency and self.ingest_concurrency):
            yield (
                "account_concurrency and ingest_concurrency: without a share of its own any other function of the "
                "account can keep webhooks out (aws lambda get-account-settings says what the account has)"
            )

    def _check_together(self) -> None:
        ranges = {
            "due_shards": (1, 64),
            "deliveries_concurrency": (2, 1000),
            "retries_concurrency": (2, 1000),
            "steps_concurrency": (2, 1000),
            "slow_concurrency": (2, 1000),
            "dispatch_parallelization": (1, 10),
            "gathering_seconds": (0, 10),
            "monthly_budget_usd": (0, 10_000_000),
            "account_concurrency": (0, 1_000_000),
            "ingest_concurrency": (0, 100_000),
            "dispatch_concurrency": (0, 10_000),
            "merchant_api_concurrency": (0, 10_000),
            "redirect_concurrency": (0, 10_000),
            "callbacks_concurrency": (0, 10_000),
            "reading_concurrency": (0, 10_000),
            "console_concurrency": (0, 10_000),
            "facts_days": (0, 36_500),
            "front_requests_per_ip": (10, 2_000_000_000),
            "front_webhooks_per_ip": (10, 2_000_000_000),
            "webhooks_per_minute_of_source": (1, 1_000_000),
            "webhooks_per_minute_of_merchant": (1, 1_000_000),
        }
        for key, (low, high) in ranges.items():
            if not low <= getattr(self, key) <= high:
                msg = f"stage {self.name!r}: {key} must be {low} to {high}, is {getattr(self, key)}"
                raise UnusableStageError(msg)
        if self.log_retention_days not in RETENTION_DAYS:
            offered = ", ".join(map(str, RETENTION_DAYS))
            msg = f"stage {self.name!r}: log_retention_days must be one of {offered}, is {self.log_retention_days}"
            raise UnusableStageError(msg)
        if (self.domain_name is None) != (self.certificate_arn is None):
            msg = f"stage {self.name!r}: domain_name and certificate_arn go together"
            raise UnusableStageError(msg)
        if not self.access_logs and not self.is_local:
            msg = f"stage {self.name!r}: access_logs tell how long providers wait (WebhooksSlow); only local has none"
            raise UnusableStageError(msg)
        if self.event_bus_personal_data and not self.event_bus:
            msg = f"stage {self.name!r}: event_bus_personal_data is of no use without event_bus"
            raise UnusableStageError(msg)
        self._check_front()
        self._check_frames()
        self._check_mail()
        if self.alarm_email is not None and self.alarm_topic_arn is not None:
            msg = f"stage {self.name!r}: alarm_email is of no use beside alarm_topic_arn: subscribe it there"
            raise UnusableStageError(msg)

    def _check_mail(self) -> None:
        """That whose mail goes out is said, and that tenants' names fit."""
        if self.stage_mail == "off" and self.mail_identities is not None:
            msg = f"stage {self.name!r}: mail_identities is of no use while stage_mail is off"
            raise UnusableStageError(msg)
        if self.stage_mail == "shared" and not self.is_local and not (self.mail_identities or "").strip(" ,"):
            msg = f"stage {self.name!r}: stage_mail shared needs mail_identities: the domains it may send from"
            raise UnusableStageError(msg)
        if "*" in (self.mail_identities or ""):
            msg = f"stage {self.name!r}: mail_identities are domains and addresses, without *"
            raise UnusableStageError(msg)
        if self.stage_mail == "tenants" and len(tenant_prefix(self.name)) > _PREFIX_OF_A_TENANT:
            msg = f"stage {self.name!r}: its name is too long for the names of SES tenants"
            raise UnusableStageError(msg)

    @property
    def frame_ancestors(self) -> tuple[str, ...]:
        """Whose pages may show the console in a frame."""
        return tuple(own.strip() for own in (self.console_frame_ancestors or "").split(",") if own.strip())

    def _check_frames(self) -> None:
        """That each is one origin: what stands in the policy lets nobody else in. They share the function's 4 KB."""
        if len(self.console_frame_ancestors or "") > LONGEST_FRAME_ANCESTORS:
            msg = f"stage {self.name!r}: console_frame_ancestors are {LONGEST_FRAME_ANCESTORS} characters at most"
            raise UnusableStageError(msg)
        for own in self.frame_ancestors:
            if not _ORIGIN.fullmatch(own):
                msg = f"stage {self.name!r}: console_frame_ancestors are origins like https://admin.example, not {own}"
                raise UnusableStageError(msg)

    def _check_front(self) -> None:
        """That the names and the certificate of a front fit together."""
        if (self.front_certificate_arn is None) != (self.origin_domain_name is None):
            msg = f"stage {self.name!r}: front_certificate_arn and origin_domain_name go together"
            raise UnusableStageError(msg)
        if self.front_certificate_arn is None:
            if self.front_only:
                msg = f"stage {self.name!r}: front_only without a front would refuse every request"
                raise UnusableStageError(msg)
            return
        if self.domain_name is None or self.domain_name == self.origin_domain_name:
            msg = f"stage {self.name!r}: a front needs domain_name, and origin_domain_name must be another"
            raise UnusableStageError(msg)
        if ":us-east-1:" not in self.front_certificate_arn:
            msg = f"stage {self.name!r}: front_certificate_arn must be of us-east-1: CloudFront takes no other"
            raise UnusableStageError(msg)


def _check(stage: str, key: str, value: object, wanted: Any) -> None:
    """The value has the field's type: a plain type, one of a Literal's values, or a text that may be null."""
    if choices := [choice for choice in get_args(wanted) if isinstance(choice, str)]:
        right, expected = value in choices, f"one of {', '.join(choices)}"
    elif get_args(wanted):
        right, expected = value is None or isinstance(value, str), "a text"
    else:
        right, expected = type(value) is wanted, f"of type {wanted.__name__}"
    if not right:
        msg = f"stage {stage!r}: {key} must be {expected}, is {value!r}"
        raise UnusableStageError(msg)
