"""The wiring: routes, mappings, schedules, rights, logs and alarms."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.functions import FUNCTION_NAMES, FUNCTIONS, NAME_OUTPUT, FunctionName, name_output
from infra.operations.redrive import CAUSES
from infra.stages import UnusableStageError
from shared.domain.step_state import CLAIM_LEASE
from tests.bench.dollars import LOG_BYTES
from tests.integration.alarms.access_log import AccessLog
from tests.unit.infra.conftest import StackTemplate, Synthesise, Templates, as_list

ENVIRONMENT = {
    "STAGE", "TABLE_NAME", "PUBLIC_URL", "KEYS_SECRET_ARN", "DUE_SHARDS", "POWERTOOLS_SERVICE_NAME",
}  # fmt: skip
STAGE_VIEW = {"WATCHED_QUEUES", "DISPATCH_FUNCTION", "ALARM_PREFIX"}
SCHEDULING = {"SCHEDULE_GROUP", "SCHEDULER_ROLE_ARN", "CAMPAIGN_RUNS_QUEUE_ARN"}
OWN_ENVIRONMENT: dict[FunctionName, set[str]] = {
    "ingest": {
        "CREDENTIALS_KEY_ARN", "QUARANTINE_BUCKET", "PULLS_QUEUE_URL", "PATIENCE_WITH_AWS", "PREPARE_AT_INIT",
        "WEBHOOKS_PER_MINUTE_OF_SOURCE", "WEBHOOKS_PER_MINUTE_OF_MERCHANT",
    },
    "merchant_api": {
        "ACCOUNT_ID", "ADMIN_SECRET_ARN", "CREDENTIALS_KEY_ARN", "QUARANTINE_BUCKET", "DELIVERIES_QUEUE_URL",
        "RETRIES_QUEUE_URL", "PULLS_QUEUE_URL", "API_ID", "STAGE_MAIL", "PREPARE_AT_INIT", *SCHEDULING, *STAGE_VIEW,
    },
    "sweep": {"RETRIES_QUEUE_URL", "STEPS_QUEUE_URL"},
    "dispatch": {"QUARANTINE_BUCKET", "DELIVERIES_QUEUE_URL", "DEAD_LETTERS_QUEUE_URL"},
    "deliver": {
        "ACCOUNT_ID", "API_ID", "STAGE_MAIL", "CREDENTIALS_KEY_ARN", "RETRIES_QUEUE_URL", "STEPS_QUEUE_URL",
        "SLOW_QUEUE_URL",
    },
    "callbacks": {"CREDENTIALS_KEY_ARN"},
    "redirect": {"PREPARE_AT_INIT"},
    "pull": {"API_ID", "CREDENTIALS_KEY_ARN", "PULLS_QUEUE_URL", "PULLS_DEAD_LETTERS_QUEUE_URL"},
    "campaign": {"CAMPAIGN_RUNS_QUEUE_URL", *SCHEDULING},
    "reading": {"PREPARE_AT_INIT"},
    "console": {
        "ADMIN_SECRET_ARN", "API_ID", "CREDENTIALS_KEY_ARN", "QUARANTINE_BUCKET", "DELIVERIES_QUEUE_URL",
        "RETRIES_QUEUE_URL", "PULLS_QUEUE_URL", "STAGE_MAIL", "PREPARE_AT_INIT", *SCHEDULING, *STAGE_VIEW,
    },
}  # fmt: skip

READ = {"dynamodb:GetItem", "dynamodb:BatchGetItem"}
WRITE = {"dynamodb:PutItem", "dynamodb:UpdateItem"}
ROWS = READ | WRITE
SECRET = {"secretsmanager:GetSecretValue"}
STREAM = {
    "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
}  # fmt: skip
CONSUME = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
STAGE_READ = {"cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "sqs:GetQueueAttributes"}
SCHEDULE = {"scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule", "iam:PassRole"}
RIGHTS: dict[FunctionName, set[str]] = {
    "ingest": ROWS | SECRET | {"dynamodb:Query", "kms:Decrypt", "s3:PutObject", "sqs:SendMessage"},
    "merchant_api": ROWS | SECRET | SCHEDULE | STAGE_READ | {
        "dynamodb:Query", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "kms:GenerateDataKey", "kms:Decrypt",
        "s3:GetObject", "s3:DeleteObject", "s3:ListBucket", "sqs:SendMessage",
    },
    "sweep": ROWS | SECRET | {"dynamodb:Query", "sqs:SendMessage"},
    "dispatch": ROWS | SECRET | STREAM | {
        "dynamodb:Query", "s3:PutObject", "s3:ListBucket", "sqs:SendMessage",
    },
    "deliver": ROWS | SECRET | CONSUME | {
        "dynamodb:ConditionCheckItem", "dynamodb:Query", "events:PutEvents", "kms:Decrypt", "sqs:SendMessage",
    },
    "callbacks": ROWS | SECRET | {"dynamodb:Query", "dynamodb:DeleteItem", "kms:Decrypt"},
    "redirect": ROWS | SECRET,
    "pull": ROWS | SECRET | CONSUME | {"dynamodb:Query", "kms:Decrypt", "sqs:SendMessage"},
    "campaign": ROWS | SECRET | CONSUME | SCHEDULE | {
        "dynamodb:Query", "dynamodb:DeleteItem", "sqs:SendMessage",
    },
    "reading": ROWS | SECRET | {"dynamodb:Query"},
    "console": ROWS | SECRET | SCHEDULE | STAGE_READ | {
        "dynamodb:Query", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "kms:GenerateDataKey", "kms:Decrypt",
        "s3:GetObject", "s3:DeleteObject", "s3:ListBucket", "sqs:SendMessage",
    },
}  # fmt: skip
LOGGING = {"logs:CreateLogStream", "logs:PutLogEvents"}

ROUTES = {
    "POST /hooks/{source_id}": "ingest",
    "POST /hooks/{source_id}/{event}": "ingest",
    "ANY /v1/{proxy+}": "merchant_api",
    "GET /healthz": "merchant_api",
    "GET /openapi.json": "merchant_api",
    "GET /docs": "merchant_api",
    "GET /callbacks/{endpoint_id}": "callbacks",
    "POST /callbacks/{endpoint_id}": "callbacks",
    "GET /r/{code}": "redirect",
    "HEAD /r/{code}": "redirect",
    "GET /u/{code}": "redirect",
    "HEAD /u/{code}": "redirect",
    "POST /u/{code}": "redirect",
    "POST /admin/api/{version}/graphql.json": "reading",
    "GET /ecom/v1/abandoned-checkout/{id}": "reading",
    "DELETE /ecom/v1/abandoned-checkout/{id}": "reading",
    "POST /ecom/v1/abandoned-checkout/query": "reading",
    "POST /ecom/v1/abandoned-checkout/search": "reading",
    "POST /ecom/v1/abandoned-checkout/{id}/activities": "reading",
    "ANY /console": "console",
    "ANY /console/{proxy+}": "console",
    "POST /ecom/v1/abandoned-checkouts/{id}/add-activity": "reading",
}


@pytest.fixture(params=["local", "dev", "production"])
def service(request: pytest.FixtureRequest, synthesise: Callable[[str], Templates]) -> StackTemplate:
    return synthesise(request.param).service


def mapping_of(service: StackTemplate, source: str) -> dict[str, object]:
    """The event source mapping whose source's reference names ``source``; of the stream's, dispatch's."""
    (found,) = (
        dict(item["Properties"])
        for item in service.resources("Lambda::EventSourceMapping").values()
        if source in json.dumps(item["Properties"]["EventSourceArn"])
        and "EventBusFeed" not in json.dumps(item["Properties"]["FunctionName"])
    )
    return found


def test_only_a_stage_that_says_so_waits_until_more_has_come_together(synthesise: Synthesise) -> None:
    """Transitions and the events that follow them; nothing waits for its second attempt's company."""
    plain, gathering = synthesise("dev").service, synthesise("dev", gathering_seconds=2).service
    waits = {
        own: [
            dict(item["Properties"]).get("MaximumBatchingWindowInSeconds", 0)
            for item in of.resources("Lambda::EventSourceMapping").values()
        ]
        for own, of in (("plain", plain), ("gathering", gathering))
    }
    assert set(waits["plain"]) == {0}
    assert sorted(waits["gathering"]) == [0, 0, 0, 0, 0, 2, 2]
    assert mapping_of(gathering, "StreamArn")["MaximumBatchingWindowInSeconds"] == 2


def queues(service: StackTemplate, name: FunctionName, right: str) -> set[str]:
    """The queues that a function may receive from, or send to."""
    return {
        json.dumps(resource)
        for statement in service.statements(name)
        if f"sqs:{right}Message" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_function_has_the_environment_it_needs_and_no_other(service: StackTemplate, name: FunctionName) -> None:
    environment = service.function(name)["Properties"]["Environment"]["Variables"]

    # The engine's stage alone, of those here, sends mail by tenants.
    of_tenants = {"SES_TENANT_PREFIX"} if (name, environment["STAGE"]) == ("deliver", "local") else set()
    assert set(environment) == ENVIRONMENT | OWN_ENVIRONMENT[name] | of_tenants
    assert environment["POWERTOOLS_SERVICE_NAME"] == name


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_function_may_do_what_is_listed_here_and_no_more(production: Templates, name: FunctionName) -> None:
    assert production.service.actions(name) == RIGHTS[name] | LOGGING


@pytest.mark.parametrize("name", ["ingest", "merchant_api", "console", "deliver", "callbacks", "pull"])
def test_kms_opens_data_keys_and_what_it_sealed_for_an_owner_and_nothing_else(
    synthesise: Callable[[str], Templates], name: FunctionName
) -> None:
    for stage in ("dev", "production"):
        statements = [own for own in synthesise(stage).service.statements(name) if "kms:" in json.dumps(own["Action"])]
        for_data_keys, for_older = sorted(statements, key=lambda own: "StringLike" in own["Condition"])
        making = {"kms:GenerateDataKey"} if name in {"merchant_api", "console"} else set()

        assert set(as_list(for_data_keys["Action"])) == {"kms:Decrypt"} | making
        assert for_data_keys["Condition"] == {"StringEquals": {"kms:EncryptionContext:purpose": "data-key"}}
        assert as_list(for_older["Action"]) == ["kms:Decrypt"]
        assert for_older["Condition"] == {
            "StringLike": {"kms:EncryptionContext:merchant": "*", "kms:EncryptionContext:owner": "*"}
        }
        keys = {json.dumps(own["Resource"], sort_keys=True) for own in statements}
        assert len(keys) == 1
        assert "*" not in keys.pop()


def test_nobody_may_scan_or_do_everything(service: StackTemplate) -> None:
    for policy in service.resources("IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            for action in as_list(statement["Action"]):
                assert "*" not in action
                assert action != "dynamodb:Scan"


def test_only_what_lists_and_measures_knows_no_resource(production: Templates) -> None:
    unbound = {
        action
        for name in FUNCTION_NAMES
        for statement in production.service.statements(name)
        if "*" in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
    }

    assert unbound == {"dynamodb:ListStreams", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData"}


def test_deliver_consumes_both_queues_and_sends_only_to_retries(production: Templates) -> None:
    service = production.service
    sending = [
        json.dumps(statement["Resource"])
        for statement in service.statements("deliver")
        if "sqs:SendMessage" in as_list(statement["Action"])
    ]

    assert len(sending) == 1
    assert len(queues(production.service, "deliver", "Send")) == 3
    assert "Steps" in sending[0]
    assert "Slow" in sending[0]
    assert "Retries" in sending[0]
    assert "Deliveries" not in sending[0]


def test_ingest_may_query_the_indexes_but_not_the_table(production: Templates) -> None:
    (query,) = (
        statement
        for statement in production.service.statements("ingest")
        if "dynamodb:Query" in as_list(statement["Action"])
    )

    asked = {resource["Fn::Join"][1][-1] for resource in as_list(query["Resource"])}
    assert asked == {"/index/phone", "/index/email", "/index/customer", "/index/cart"}


def test_indexes_are_named(service: StackTemplate) -> None:
    for name in FUNCTION_NAMES:
        for statement in service.statements(name):
            for resource in as_list(statement["Resource"]):
                assert "index/*" not in json.dumps(resource)


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_function_runs_python_3_13_and_logs_where_retention_is_set(
    service: StackTemplate, name: FunctionName
) -> None:
    properties = service.function(name)["Properties"]
    group = service.resources("Logs::LogGroup")[properties["LoggingConfig"]["LogGroup"]["Ref"]]

    assert properties["Runtime"] == "python3.13"
    assert properties["Timeout"] == FUNCTIONS[name].timeout.total_seconds()
    assert group["Properties"]["RetentionInDays"] in {1, 7, 90}
    assert "LogGroupName" not in group["Properties"]


def test_chains_are_allowed_where_one_is_meant_and_nowhere_else(service: StackTemplate) -> None:
    """Sending to a queue that it reads itself is what makes a chain; Lambda cuts one after about 16 turns."""
    allowed = {name for name in FUNCTION_NAMES if service.function(name)["Properties"].get("RecursiveLoop") == "Allow"}

    assert allowed == {
        name for name in FUNCTION_NAMES if queues(service, name, "Receive") & queues(service, name, "Send")
    }
    assert allowed == {"deliver", "pull", "campaign"}


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_a_function_writes_into_its_own_log_group_and_no_other(service: StackTemplate, name: FunctionName) -> None:
    (logging,) = (own for own in service.statements(name) if set(as_list(own["Action"])) & LOGGING)
    role = service.resources("IAM::Role")[service.function(name)["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
    own_group = service.function(name)["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]

    assert logging["Resource"] == {"Fn::GetAtt": [own_group, "Arn"]}
    assert "ManagedPolicyArns" not in role


def test_production_runs_on_arm_and_pays_for_no_traces(production: Templates) -> None:
    for name in FUNCTION_NAMES:
        properties = production.service.function(name)["Properties"]
        assert properties["Architectures"] == ["arm64"]
        assert "TracingConfig" not in properties  # billed by trace, whether or not anybody looks


def test_every_public_path_reaches_its_function(service: StackTemplate) -> None:
    integrations = service.resources("ApiGatewayV2::Integration")
    reached = {}
    for route in service.resources("ApiGatewayV2::Route").values():
        integration = integrations[route["Properties"]["Target"]["Fn::Join"][1][1]["Ref"]]["Properties"]
        function = service.led_to(integration["IntegrationUri"])["Properties"]
        reached[route["Properties"]["RouteKey"]] = function["Handler"].split(".")[1]
        assert integration["PayloadFormatVersion"] == "2.0"

    assert reached == ROUTES


def test_the_api_may_invoke_exactly_the_functions_it_has_routes_for(production: Templates) -> None:
    service = production.service
    invoked = {
        service.led_to(item["Properties"]["FunctionName"])["Properties"]["Handler"].split(".")[1]
        for item in service.resources("Lambda::Permission").values()
        if item["Properties"]["Principal"] == "apigateway.amazonaws.com"
    }

    assert invoked == set(ROUTES.values())


def test_the_api_throttles_and_logs_without_the_callers_address(production: Templates) -> None:
    stage = production.service.only("ApiGatewayV2::Stage")["Properties"]

    assert stage["StageName"] == "$default"
    assert stage["AutoDeploy"] is True
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 2500, "ThrottlingRateLimit": 5000}
    assert "sourceIp" not in stage["AccessLogSettings"]["Format"]
    assert "requestId" in stage["AccessLogSettings"]["Format"]


def test_a_webhooks_line_in_the_access_log_is_as_long_as_its_cost_is_counted_for(production: Templates) -> None:
    known = {"requestId": "JKJaXmPLvHcESHA=", "routeKey": "POST /hooks/{source_id}", "status": "200"}
    line = AccessLog(production.service).line(**known, responseLatency=23)

    assert len(json.dumps(line, separators=(",", ":"))) + 1 == LOG_BYTES["request"]


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_lambda_tells_of_what_fails_and_of_every_run_only_where_asked_to(
    synthesise: Synthesise, name: FunctionName
) -> None:
    """An embedded metric has no level, so counts as INFO: what is above would be written without it."""
    quiet, told = synthesise("production"), synthesise("production", log_runs=True)
    configured = [own.service.function(name)["Properties"]["LoggingConfig"] for own in (quiet, told)]

    assert [own["SystemLogLevel"] for own in configured] == ["WARN", "INFO"]
    assert {(own["LogFormat"], own["ApplicationLogLevel"]) for own in configured} == {("JSON", "INFO")}


def test_no_browser_script_may_call_the_api(service: StackTemplate) -> None:
    assert "CorsConfiguration" not in service.only("ApiGatewayV2::Api")["Properties"]


def test_only_marked_transitions_reach_dispatch(service: StackTemplate) -> None:
    (pattern,) = mapping_of(service, "Table")["FilterCriteria"]["Filters"]  # type: ignore[index]

    assert json.loads(pattern["Pattern"]) == {"dynamodb": {"NewImage": {"tr": {"N": [{"exists": True}]}}}}


def test_one_bad_record_cannot_block_the_stream(service: StackTemplate) -> None:
    mapping = mapping_of(service, "Table")

    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] == -1
    assert mapping["MaximumRecordAgeInSeconds"] == 23 * 3600


def test_what_dispatch_cannot_end_in_23_hours_is_kept_whole_and_told(production: Templates) -> None:
    """A queue would hold only a pointer into the stream, which forgets what it points to an hour later."""
    mapping = mapping_of(production.service, "Table")
    writing = [own for own in production.service.statements("dispatch") if "s3:PutObject" in as_list(own["Action"])]
    alarms = production.service.resources("CloudWatch::Alarm").values()
    watched = [item["Properties"].get("MetricName") for item in alarms]

    assert "Quarantine" in json.dumps(mapping["DestinationConfig"])
    assert any("aws/lambda/*" in json.dumps(own["Resource"]) for own in writing)
    assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}
    assert "OnFailureDestinationDeliveredEventCount" in watched


def test_the_local_engine_which_knows_no_bucket_as_destination_leaves_a_pointer(local: Templates) -> None:
    mapping = mapping_of(local.service, "Table")

    assert "DeadLetters" in json.dumps(mapping["DestinationConfig"])
    assert "MetricsConfig" not in mapping
    assert "OnFailureDestinationDeliveredEventCount" not in json.dumps(local.service.json)


def test_parallel_dispatch_is_the_stages_choice(production: Templates, local: Templates) -> None:
    assert mapping_of(production.service, "Table")["ParallelizationFactor"] == 10
    assert mapping_of(local.service, "Table")["ParallelizationFactor"] == 2


@pytest.mark.parametrize(
    ("source", "concurrency"),
    [("Deliveries", 100), ("Retries", 20), ("QueuesSteps", 50), ("QueuesSlow", 20), ("QueuesPulls", 5)],
)
def test_every_queue_is_worked_off_with_capped_concurrency(
    production: Templates, source: str, concurrency: int
) -> None:
    mapping = mapping_of(production.service, source)

    assert mapping["BatchSize"] == 10
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": concurrency}


@pytest.mark.parametrize(
    ("source", "consumer"),
    [
        ("QueuesDeliveries", "deliver"),
        ("QueuesRetries", "deliver"),
        ("QueuesSteps", "deliver"),
        ("QueuesSlow", "deliver"),
        ("QueuesPulls", "pull"),
        ("QueuesCampaignRuns", "campaign"),
    ],
)
def test_a_message_stays_hidden_six_times_its_consumers_timeout_and_ends_as_a_dead_letter(
    service: StackTemplate, source: str, consumer: FunctionName
) -> None:
    queue = next(item for name, item in service.resources("SQS::Queue").items() if source in name)["Properties"]

    assert queue["VisibilityTimeout"] >= 6 * service.function(consumer)["Properties"]["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert "DeadLetters" in json.dumps(queue["RedrivePolicy"]["deadLetterTargetArn"])


def test_each_cause_of_dead_letters_has_its_queue_its_redrive_and_its_alarm(production: Templates) -> None:
    """What dispatch sets aside does not lie among deliveries: mended by different people, at different times."""
    service = production.service
    ends = {name for name, own in service.resources("SQS::Queue").items() if "RedrivePolicy" not in own["Properties"]}
    outputs = {own["Value"]["Ref"]: name for name, own in service.json["Outputs"].items() if "Ref" in own["Value"]}
    watched = {
        own["Properties"]["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for own in service.resources("CloudWatch::Alarm").values()
        if own["Properties"].get("MetricName") == "ApproximateNumberOfMessagesVisible"
    }
    redriven = {own.dead for own in CAUSES.values()} | {"MissedSchedulesQueueUrl"}

    assert watched == ends
    assert {outputs[own] for own in ends} == redriven
    kept = service.function("dispatch")["Properties"]["Environment"]["Variables"]["DEAD_LETTERS_QUEUE_URL"]["Ref"]
    assert outputs[kept] == "RecordDeadLettersQueueUrl"
    for source in ("QueuesDeliveries", "QueuesRetries", "QueuesSteps", "QueuesSlow"):
        queue = next(own for name, own in service.resources("SQS::Queue").items() if source in name)["Properties"]
        assert outputs[queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]] == "DeadLettersQueueUrl"


@pytest.mark.parametrize("source", ["QueuesDeliveries", "QueuesRetries"])
def test_a_steps_claim_outlives_the_time_until_its_message_comes_again(service: StackTemplate, source: str) -> None:
    queue = next(item for name, item in service.resources("SQS::Queue").items() if source in name)["Properties"]

    assert CLAIM_LEASE.total_seconds() > queue["VisibilityTimeout"]


def test_every_queue_is_encrypted_standard_and_keeps_what_it_holds_for_two_weeks(service: StackTemplate) -> None:
    queues = service.resources("SQS::Queue")
    kept = {name for name, item in queues.items() if item["Properties"].get("MessageRetentionPeriod") == 1209600}

    assert len(queues) == 11
    assert kept == set(queues)
    assert all(item["Properties"]["SqsManagedSseEnabled"] is True for item in queues.values())
    assert not any("FifoQueue" in item["Properties"] for item in queues.values())


def rules_of(stage: Templates, name: FunctionName) -> list[dict[str, Any]]:
    """The rules that start a function."""
    rules = [item["Properties"] for item in stage.service.resources("Events::Rule").values()]
    return [own for own in rules if name.capitalize() in json.dumps(own["Targets"][0]["Arn"])]


def test_schedules_left_behind_are_repaired_every_few_minutes(production: Templates) -> None:
    (rule,) = rules_of(production, "campaign")

    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    (target,) = rule["Targets"]
    assert json.loads(target["Input"]) == {"repair": True}


def test_scheduler_may_only_start_runs_and_only_for_the_stages_own_schedules(production: Templates) -> None:
    (role_id, role), *others = [
        (name, item["Properties"])
        for name, item in production.service.resources("IAM::Role").items()
        if "scheduler.amazonaws.com" in json.dumps(item["Properties"]["AssumeRolePolicyDocument"])
    ]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    (policy,) = (
        item["Properties"]["PolicyDocument"]["Statement"]
        for item in production.service.resources("IAM::Policy").values()
        if item["Properties"]["Roles"] == [{"Ref": role_id}]
    )

    assert others == []
    assert set(trust["Condition"]["StringEquals"]) == {"aws:SourceAccount", "aws:SourceArn"}
    assert [(own["Action"], "CampaignRuns" in json.dumps(own["Resource"])) for own in policy] == [
        ("sqs:SendMessage", True)
    ]


@pytest.mark.parametrize("name", ["merchant_api", "campaign"])
def test_only_that_role_may_be_passed_and_only_to_scheduler(production: Templates, name: FunctionName) -> None:
    (passing,) = (own for own in production.service.statements(name) if "iam:PassRole" in as_list(own["Action"]))

    assert "CampaignSchedulesRole" in json.dumps(passing["Resource"])
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


def test_a_small_stage_sweeps_everything_every_minute(local: Templates) -> None:
    (rule,) = rules_of(local, "sweep")

    assert rule["ScheduleExpression"] == "rate(1 minute)"
    (target,) = rule["Targets"]
    assert target["Input"] == "{}"
    assert "MissedSchedules" in json.dumps(target["DeadLetterConfig"])


def test_production_sweeps_each_kind_and_shard_by_itself(production: Templates) -> None:
    rules = rules_of(production, "sweep")
    inputs = [json.loads(target["Input"]) for rule in rules for target in rule["Targets"]]

    assert {rule["ScheduleExpression"] for rule in rules} == {"rate(1 minute)"}
    assert max(len(rule["Targets"]) for rule in rules) <= 5
    assert sorted((item["kind"], item["shard"]) for item in inputs) == [
        (kind, shard) for kind in "CRS" for shard in range(8)
    ]


def test_alarms_may_publish_to_their_topic(service: StackTemplate) -> None:
    statements = service.only("SNS::TopicPolicy")["Properties"]["PolicyDocument"]["Statement"]
    allowed = [item for item in statements if item["Effect"] == "Allow"]

    assert [(item["Principal"], item["Action"]) for item in allowed] == [
        ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
    ]


def test_nothing_has_a_physical_name(service: StackTemplate) -> None:
    names = {"FunctionName", "QueueName", "TopicName", "RoleName", "AlarmName", "LogGroupName"}
    for kind in ("Lambda::Function", "SQS::Queue", "SNS::Topic", "IAM::Role", "CloudWatch::Alarm", "Logs::LogGroup"):
        for resource in service.resources(kind).values():
            assert not names & set(resource.get("Properties", {}))


def test_the_public_address_is_the_engines_in_stage_local_and_the_apis_elsewhere(
    local: Templates, production: Templates
) -> None:
    variables = [
        stack.service.function("redirect")["Properties"]["Environment"]["Variables"]["PUBLIC_URL"]
        for stack in (local, production)
    ]

    assert variables[0]["Fn::Join"][1][0] == "http://127.0.0.1:4666/_aws/execute-api/"
    assert variables[0]["Fn::Join"][1][-1] == "/$default"
    assert variables[1]["Fn::GetAtt"][1] == "ApiEndpoint"


def test_the_outputs_say_where_everything_is(service: StackTemplate) -> None:
    outputs = set(service.json["Outputs"])

    assert {"ApiUrl", "AdminKeyCommand", "TableName", "DeliveriesQueueUrl", "DeadLettersQueueUrl"} <= outputs
    assert {"IngestFunctionName", "MerchantApiFunctionName"} <= outputs
    assert {name_output(name) for name in FUNCTION_NAMES} <= outputs
    assert sum(name.endswith(NAME_OUTPUT) for name in outputs) == len(service.resources("Lambda::Function"))


def test_erasures_list_the_bucket_by_the_prefixes_of_what_is_kept_there(service: StackTemplate) -> None:
    (listing,) = (own for own in service.statements("merchant_api") if "s3:ListBucket" in as_list(own["Action"]))

    assert "Quarantine" in json.dumps(listing["Resource"])
    assert "/*" not in json.dumps(listing["Resource"])
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["quarantine/*", "poison/*"]}}
    objects = [
        resource
        for own in service.statements("merchant_api")
        if "s3:GetObject" in as_list(own["Action"])
        for resource in as_list(own["Resource"])
    ]
    assert sorted(json.dumps(own).rpartition("/")[0].rpartition("/")[2] for own in objects) == ["poison", "quarantine"]


def test_production_reserves_what_its_queues_may_use_and_a_share_for_webhooks(production: Templates) -> None:
    reserved = {
        name: share
        for name in FUNCTION_NAMES
        if (share := production.service.function(name)["Properties"].get("ReservedConcurrentExecutions"))
    }

    working = {"dispatch": 100, "sweep": 24, "deliver": 190, "pull": 5, "campaign": 7}
    asked = {"ingest": 400, "merchant_api": 50, "redirect": 40, "callbacks": 60, "reading": 10, "console": 10}
    assert reserved == working | asked
    for name, sources in (
        ("deliver", ("Deliveries", "Retries", "QueuesSteps", "QueuesSlow")),
        ("pull", ("QueuesPulls",)),
    ):
        mapped = [mapping_of(production.service, source)["ScalingConfig"] for source in sources]
        assert sum(own["MaximumConcurrency"] for own in mapped) <= reserved[name]  # type: ignore[index]


def test_other_stages_leave_the_account_as_it_is(synthesise: Synthesise) -> None:
    """Of a new account's ten executions nothing can be reserved."""
    for stage in ("local", "dev"):
        assert "ReservedConcurrentExecutions" not in json.dumps(synthesise(stage).service.json)


@pytest.mark.parametrize("stage", ["dev", "production"])
def test_everything_leads_to_the_live_version_of_a_function_and_never_to_the_newest_code(
    synthesise: Synthesise, stage: str
) -> None:
    service = synthesise(stage).service
    aliases = {name: item["Properties"]["Name"] for name, item in service.resources("Lambda::Alias").items()}
    led = [
        *(item["Properties"]["IntegrationUri"] for item in service.resources("ApiGatewayV2::Integration").values()),
        *(item["Properties"]["FunctionName"] for item in service.resources("Lambda::Permission").values()),
        *(
            target["Arn"]
            for item in service.resources("Events::Rule").values()
            for target in item["Properties"]["Targets"]
        ),
    ]
    mapped = [item["Properties"]["FunctionName"] for item in service.resources("Lambda::EventSourceMapping").values()]

    assert set(aliases.values()) == {"live"}
    assert len(aliases) == len(FUNCTION_NAMES)
    assert {own.get("Ref") for own in led} <= aliases.keys()
    assert {own["Fn::Join"][1][-1] for own in mapped} == {":live"}
    assert all(item["DeletionPolicy"] == "Retain" for item in service.resources("Lambda::Version").values())


def test_running_functions_of_the_local_engine_can_be_changed_in_place(local: Templates) -> None:
    assert not local.service.resources("Lambda::Alias")
    assert not local.service.resources("CodeDeploy::DeploymentGroup")


def test_what_answers_requests_takes_over_gradually_and_goes_back_on_an_alarm(production: Templates) -> None:
    groups = production.service.resources("CodeDeploy::DeploymentGroup")
    gradual = {
        production.service.led_to({"Ref": name})["Properties"]["Handler"].split(".")[1]
        for name, item in production.service.resources("Lambda::Alias").items()
        if "CodeDeployLambdaAliasUpdate" in item.get("UpdatePolicy", {})
    }

    assert gradual == {"ingest", "merchant_api", "callbacks", "redirect", "reading", "console"}
    assert len(groups) == len(gradual)
    for group in (own["Properties"] for own in groups.values()):
        assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent10Minutes"
        assert group["AlarmConfiguration"]["Enabled"] is True
        assert len(group["AlarmConfiguration"]["Alarms"]) >= 3
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_a_sweep_that_failed_is_not_repeated_by_lambda(service: StackTemplate) -> None:
    """The next minute's sweep does the same work."""
    (config,) = (
        item["Properties"]
        for item in service.resources("Lambda::EventInvokeConfig").values()
        if "Sweep" in json.dumps(item["Properties"]["FunctionName"])
    )

    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 120)


def test_snapshots_are_made_of_what_answers_requests_where_a_stage_wants_them(synthesise: Synthesise) -> None:
    service = synthesise("production", snap_start=True).service
    snapped = {name for name in FUNCTION_NAMES if "SnapStart" in service.function(name)["Properties"]}

    assert snapped == {"ingest", "merchant_api", "callbacks", "redirect", "reading", "console"}
    assert "SnapStart" not in json.dumps(synthesise("production").service.json)


def test_a_flood_on_one_route_leaves_the_others_theirs(production: Templates) -> None:
    stage = production.service.only("ApiGatewayV2::Stage")
    limits = stage["Properties"]["RouteSettings"]
    routes = production.service.resources("ApiGatewayV2::Route")

    assert set(limits) == set(ROUTES)
    assert limits["POST /hooks/{source_id}"] == {"ThrottlingRateLimit": 5000, "ThrottlingBurstLimit": 2500}
    assert limits["POST /callbacks/{endpoint_id}"] == limits["POST /hooks/{source_id}"], "vendors are as many"
    assert limits["GET /r/{code}"] == {"ThrottlingRateLimit": 1000, "ThrottlingBurstLimit": 500}
    assert set(routes) <= set(stage["DependsOn"]), "settings of a route that is not there yet are refused"


def test_somebody_is_told_what_the_account_costs(synthesise: Synthesise) -> None:
    service = synthesise("production", monthly_budget_usd=200).service
    budget = service.only("Budgets::Budget")["Properties"]
    told = {
        own["Notification"]["NotificationType"]: own["Notification"]["Threshold"]
        for own in budget["NotificationsWithSubscribers"]
    }
    publishing = [
        principal
        for statement in service.only("SNS::TopicPolicy")["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for principal in as_list(statement["Principal"]["Service"])
    ]

    assert budget["Budget"]["BudgetLimit"] == {"Amount": 200, "Unit": "USD"}
    assert told == {"FORECASTED": 100, "ACTUAL": 80}
    assert sorted(publishing) == ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    assert not synthesise("production").service.resources("Budgets::Budget")


def test_the_console_is_framed_by_nobody_but_origins_that_the_stage_names(synthesise: Callable[..., Templates]) -> None:
    origins = "https://admin.example, https://shop.example:8443"
    usual, framed = (synthesise("dev", **own).service for own in ({}, {"console_frame_ancestors": origins}))

    assert "CONSOLE_FRAME_ANCESTORS" not in json.dumps(usual.resources("Lambda::Function"))
    told = json.dumps(framed.resources("Lambda::Function"))
    assert '"CONSOLE_FRAME_ANCESTORS": "https://admin.example https://shop.example:8443"' in told
    for wrong in ("*", "http://admin.example", "https://*.example", "https://a.example/x", "https://a.example; x"):
        with pytest.raises(UnusableStageError, match="console_frame_ancestors"):
            synthesise("dev", console_frame_ancestors=wrong)
