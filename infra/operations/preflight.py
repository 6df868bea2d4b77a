"""Looks at the account before a deployment: what would fail, or hurt somebody afterwards, and what to do about it.

    make preflight STAGE=production

Reads only. Ends with 1 if something stops the deployment; what is worth knowing alone ends with 0.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import concurrency
from infra.operations.adopt_table import indexes_of, stage_settings
from infra.parameters import FRONT_KEY, FRONT_REGION, parameter_name, restored_stream_parameter
from infra.stages import Stage, UnusableStageError
from infra.table_schema import INDEXES, index_changes

type Verdict = Literal["ok", "note", "stop"]


class Clients(Protocol):
    """Gives the client of a service, by botocore's name; of the shell's own Region where none is named."""

    def __call__(self, service: str, region: str | None = None) -> Any: ...


BOOTSTRAP: Final = 6
"""What the CDK's templates ask for (``BootstrapVersion`` in each)."""
_EXPIRES_SOON: Final = timedelta(days=30)
_QUOTA: Final = "L-B99A9384"
"""Service Quotas' code for Lambda's concurrent executions."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and found; ``do``: what to do about it, empty where nothing is to be done."""

    verdict: Verdict
    what: str
    do: str = ""


def executions(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether the account has the concurrent executions that the stage's shares need."""
    limits = client("lambda").get_account_settings()["AccountLimit"]
    has: int = limits["ConcurrentExecutions"]
    most = sum(concurrency.wanted(stage).values()) + (concurrency.UNRESERVED if stage.account_concurrency else 0)
    raised = max(most, stage.account_concurrency, 1000)
    ask = (
        f"aws service-quotas request-service-quota-increase --service-code lambda --quota-code {_QUOTA} "
        f"--desired-value {raised} (answered within a day or two)"
    )
    if stage.account_concurrency > has:
        yield Finding("stop", f"the account allows {has} concurrent executions, {stage.account_concurrency} said", ask)
    elif most > has:
        yield Finding(
            "note", f"the account allows {has} concurrent executions, {most} could be at work: throttles", ask
        )
    else:
        yield Finding("ok", f"{has} concurrent executions, {most} wanted")
    free, reserving = limits["UnreservedConcurrentExecutions"], sum(concurrency.shares(stage).values())
    if not reserving or stage.account_concurrency > has or free - reserving >= concurrency.UNRESERVED:
        return
    # After the first deployment what is reserved is ours, too.
    if _parameter(client, parameter_name(stage.name, "table-name")) is None:
        yield Finding("stop", f"{free} are unreserved, {reserving} are to be reserved and 100 must stay", ask)


def throttles(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether API Gateway lets through what the stage would."""
    allowed = client("apigateway").get_account()["throttleSettings"]
    if allowed["rateLimit"] < stage.throttle_rate or allowed["burstLimit"] < stage.throttle_burst:
        had = f"{allowed['rateLimit']:.0f}/s, burst {allowed['burstLimit']}"
        yield Finding(
            "note",
            f"API Gateway allows {had} for all APIs of the account, {stage.throttle_rate}/s are set",
            "ask for more (Service Quotas, API Gateway, throttle rate), or lower throttle_rate",
        )
    else:
        yield Finding("ok", f"API Gateway allows {allowed['rateLimit']:.0f} requests/s")


def bootstrap(client: Clients, _stage: Stage) -> Iterator[Finding]:
    """Whether the CDK's own stack is there and new enough."""
    yield _bootstrapped(client, None)


def _bootstrapped(client: Clients, region: str | None) -> Finding:
    found = _parameter(client, "/cdk-bootstrap/hnb659fds/version", region)
    if found is not None and int(found) >= BOOTSTRAP:
        return Finding("ok", f"bootstrap version {found}" + (f" in {region}" if region else ""))
    had = "not bootstrapped" if found is None else f"bootstrapped with version {found}"
    where = f" aws://<account>/{region}" if region else ""
    return Finding("stop", f"account and {region or 'Region'} are {had}", f"node_modules/.bin/cdk bootstrap{where}")


def certificate(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether the domain's certificate is issued, covers the name and lasts."""
    if stage.domain_name is None or stage.certificate_arn is None:
        if not stage.removable:
            yield Finding("note", "no domain name: every URL dies with the service stack", "set domain_name")
        return
    region = stage.certificate_arn.split(":")[3]
    acm = client("acm")
    if region != acm.meta.region_name:
        again = f"request one in {acm.meta.region_name}: a Regional name takes no other"
        yield Finding("stop", f"the certificate is of {region}", again)
        return
    names = [own for own in (stage.domain_name, stage.origin_domain_name) if own is not None]
    yield _issued(acm, "certificate_arn", stage.certificate_arn, names)


def front(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether us-east-1 has what the stage's front needs there."""
    if stage.front_certificate_arn is None or stage.domain_name is None:
        return
    yield _bootstrapped(client, FRONT_REGION)
    acm = client("acm", FRONT_REGION)
    yield _issued(acm, "front_certificate_arn", stage.front_certificate_arn, [stage.domain_name])
    if _parameter(client, parameter_name(stage.name, FRONT_KEY), FRONT_REGION) is None:
        missing = f"python -m infra.operations.front_key --stage {stage.name}, after a first deployment without a front"
        yield Finding("note", "the front does not know yet what to show the API: make deploy tells it", missing)


def _issued(acm: Any, setting: str, arn: str, names: Sequence[str]) -> Finding:
    """Whether the certificate of a setting is issued, covers the names and lasts."""
    try:
        found = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    except acm.exceptions.ResourceNotFoundException:
        return Finding("stop", f"{setting} names no certificate of this account", "aws acm list-certificates")
    if found["Status"] != "ISSUED":
        proof = "write the CNAME records that `aws acm describe-certificate` shows, and wait"
        return Finding("stop", f"the certificate is {found['Status']}", proof)
    for name in names:
        if not any(_covers(own, name) for own in found["SubjectAlternativeNames"]):
            return Finding("stop", f"the certificate does not cover {name}", "request one that does")
    if found["NotAfter"] - datetime.now(UTC) < _EXPIRES_SOON and found.get("RenewalEligibility") != "ELIGIBLE":
        return Finding("note", f"the certificate ends {found['NotAfter']:%Y-%m-%d}", "renew it: nothing else will")
    return Finding("ok", f"the certificate covers {' and '.join(names)}")


def mail(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether the account may send mail to anybody; only merchants without an SES of their own need it."""
    if stage.stage_mail == "off":
        yield Finding("ok", "merchants send mail by AWS accounts of their own")
        return
    ses = client("sesv2")
    account = ses.get_account()
    if not account.get("ProductionAccessEnabled"):
        yield Finding(
            "note",
            "SES is in its sandbox: mail goes to verified addresses alone",
            "ask for production access (aws sesv2 put-account-details --production-access-enabled …)",
        )
    if not account.get("SendingEnabled", True):
        yield Finding("note", "SES does not send: the account is paused", "see the SES console, Account dashboard")
    identities = ses.list_email_identities()["EmailIdentities"]
    verified = [own["IdentityName"] for own in identities if own.get("SendingEnabled")]
    if not verified:
        yield Finding("note", "SES has no verified identity", "verify the domain that merchants send from")
    else:
        yield Finding("ok", f"SES may send as {', '.join(sorted(verified))}")
    if stage.stage_mail == "tenants":
        bind = f"python -m infra.operations.mail_tenant --stage {stage.name} add mer_… --identity …"
        yield Finding(
            "note", "stage_mail is tenants: a merchant sends nothing before its identity is bound to it", bind
        )
    if stage.stage_mail == "shared" and not stage.removable:
        yield Finding("note", "stage_mail is shared: any merchant may send as any other", "set it to tenants")


def schedules(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether the group of merchants' schedules that was deployed is still there."""
    group = _parameter(client, parameter_name(stage.name, "schedule-group-name"))
    if group is None:
        yield Finding("ok", "no schedule group yet: the first deployment makes it")
        return
    scheduler = client("scheduler")
    try:
        scheduler.get_schedule_group(Name=group)
    except scheduler.exceptions.ResourceNotFoundException:
        yield Finding(
            "stop",
            f"the schedule group {group} is gone, and with it every merchant's schedules",
            f"aws scheduler create-schedule-group --name {group}; after the deployment "
            f"python -m infra.operations.reconcile_schedules --stage {stage.name}",
        )
    else:
        yield Finding("ok", f"schedule group {group}")


def table(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether what this release wants of the table is one update away from what is deployed."""
    name = stage.restored_table or _parameter(client, parameter_name(stage.name, "table-name"))
    if name is None:
        yield Finding("ok", "no table yet: the first deployment makes it")
        return
    adopt = f"python -m infra.operations.adopt_table --stage {stage.name} --table {name}"
    dynamodb = client("dynamodb")
    try:
        found = dynamodb.describe_table(TableName=name)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        yield Finding("stop", f"the table {name} is gone", "docs/runbook.md, Restore")
        return
    if stage.restored_table is not None:
        stream = _parameter(client, restored_stream_parameter(stage.name, name))
        if stream is None or stream != found.get("LatestStreamArn"):
            yield Finding("stop", f"the restored table {name} is not adopted, or has another stream since", adopt)
            return
    changes = index_changes(indexes_of(found), INDEXES)
    if stage.restored_table is not None and changes:
        yield Finding("stop", f"the restored table needs: {', '.join(changes)}", adopt)
    elif len(changes) > 1:
        yield Finding(
            "stop",
            f"this release is more than one index away from {name}: {', '.join(changes)}",
            "deploy the releases between, one after the other: tests/unit/infra/index_history.json",
        )
    else:
        yield Finding("ok", f"table {name}" + (f", {changes[0]}" if changes else ""))


def keys_copy(_client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether the one secret that nothing brings back has a copy."""
    if not stage.removable and stage.keys_replica_region is None:
        yield Finding("note", "the secret Keys has no copy", "set keys_replica_region (0.40 USD a month)")


def budget(_client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether anybody hears of what it costs."""
    if not stage.removable and not stage.monthly_budget_usd:
        yield Finding("note", "nobody is told what the account costs", "set monthly_budget_usd (two budgets are free)")


def alarm_topic(client: Clients, stage: Stage) -> Iterator[Finding]:
    """Whether the operator's own topic takes what alarms and budget tell it: no stack writes that topic's policy.

    A budget tells topics of its own account alone (AWS Cost Management User Guide, "Creating an Amazon SNS topic for
    budget notifications").
    """
    if stage.alarm_topic_arn is None:
        return
    if stage.monthly_budget_usd:
        own = client("sts").get_caller_identity()["Account"]
        if (theirs := stage.alarm_topic_arn.split(":")[4]) != own:
            what = f"the alarm topic is account {theirs}'s, this is {own}: a budget tells topics of its own account"
            yield Finding("stop", what, "name a topic of this account, or leave monthly_budget_usd out")
            return
    topic = client("sns").get_topic_attributes(TopicArn=stage.alarm_topic_arn)["Attributes"]
    if topic.get("KmsMasterKeyId", "").endswith("alias/aws/sns"):
        what = "the alarm topic is encrypted by AWS's own key, which lets no service in: nothing arrives"
        yield Finding("stop", what, "give it a key of yours, or none")
        return
    allowed = " ".join(
        json.dumps(own["Principal"])
        for own in json.loads(topic.get("Policy", "{}")).get("Statement", [])
        if own["Effect"] == "Allow"
    )
    telling = {"cloudwatch.amazonaws.com": True, "budgets.amazonaws.com": bool(stage.monthly_budget_usd)}
    silent = [service for service, tells in telling.items() if tells and service not in allowed]
    if silent:
        do = f"let {' and '.join(silent)} do sns:Publish in the policy of {stage.alarm_topic_arn}"
        yield Finding("stop", f"the alarm topic refuses {', '.join(silent)}: nobody would be told", do)
    else:
        yield Finding("ok", "the alarm topic takes what is told to it")


CHECKS: Final = (
    executions,
    throttles,
    bootstrap,
    certificate,
    front,
    mail,
    schedules,
    table,
    keys_copy,
    budget,
    alarm_topic,
)


def preflight(client: Clients, stage: Stage) -> Iterator[Finding]:
    """All that was found. A look that is refused is a note: whoever deploys may have fewer rights."""
    try:
        stage.check_complete()
        concurrency.check_shares(stage)
    except UnusableStageError as refused:
        yield Finding("stop", str(refused), "edit cdk.json")
    for check in CHECKS:
        try:
            yield from check(client, stage)
        except (ClientError, BotoCoreError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            yield Finding("note", f"{check.__name__} could not be looked at: {code}", "ask somebody who may")


def _parameter(client: Clients, name: str, region: str | None = None) -> str | None:
    ssm = client("ssm", region)
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None


def _covers(pattern: str, name: str) -> bool:
    """A wildcard stands for one label."""
    return pattern == name or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at the account and Region of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    made: dict[tuple[str, str | None], Any] = {}

    def client(service: str, region: str | None = None) -> Any:
        if (service, region) not in made:
            made[service, region] = boto3.client(service, region_name=region)  # type: ignore[call-overload]
        return made[service, region]

    try:
        stage = stage_settings(parser.parse_args(arguments).stage)
    except UnusableStageError as refused:
        sys.stderr.write(f"checkback: {refused}\n")
        return 2
    marks: Mapping[Verdict, str] = {"ok": "ok  ", "note": "note", "stop": "STOP"}
    stopped = False
    for found in preflight(client, stage):
        stopped |= found.verdict == "stop"
        sys.stdout.write(f"{marks[found.verdict]}  {found.what}\n" + (f"      -> {found.do}\n" if found.do else ""))
    return 1 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
