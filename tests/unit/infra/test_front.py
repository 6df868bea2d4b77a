"""The optional front: it changes no request, leaves no way round it, and its firewall loses no webhook."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.stages import Stage, UnusableStageError
from shared.aws.front import FRONT_HEADER
from tests.unit.infra.conftest import FRONTED, StackTemplate, Synthesise, Templates

CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
"""Ids of AWS's own policies (Amazon CloudFront Developer Guide, "Use managed cache policies", "... origin request
policies").
"""
ASKED = ("ingest", "merchant_api", "redirect", "callbacks", "reading", "console")


@pytest.fixture
def fronted(synthesise: Synthesise) -> Templates:
    return synthesise("production", **FRONTED)


def distribution(fronted: Templates) -> Mapping[str, Any]:
    found: Mapping[str, Any] = fronted.front.only("CloudFront::Distribution")["Properties"]["DistributionConfig"]
    return found


def rules(fronted: Templates) -> dict[str, Mapping[str, Any]]:
    return {own["Name"]: own for own in fronted.front.only("WAFv2::WebACL")["Properties"]["Rules"]}


def paths(statement: Mapping[str, Any]) -> list[str]:
    """What the paths begin with that a statement names."""
    named = statement["OrStatement"]["Statements"]
    assert all(own["ByteMatchStatement"]["PositionalConstraint"] == "STARTS_WITH" for own in named)
    return [own["ByteMatchStatement"]["SearchString"] for own in named]


@pytest.mark.parametrize("stage", ["local", "dev", "production"])
def test_there_is_none_unless_a_stage_asks_for_it(synthesise: Synthesise, stage: str) -> None:
    made = synthesise(stage)

    assert made.front.json["Resources"] == {}
    assert "FRONT_ONLY" not in json.dumps(made.service.json)
    assert "ORIGIN_NAME" not in json.dumps(made.service.json)


def test_every_request_is_handed_on_as_it_came(fronted: Templates) -> None:
    """No cache, no packing, every method and header but the host, and no redirect that makes a GET of a POST."""
    behaviour = distribution(fronted)["DefaultCacheBehavior"]

    assert "CacheBehaviors" not in distribution(fronted)
    assert behaviour["CachePolicyId"] == CACHING_DISABLED
    assert behaviour["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST
    assert behaviour["Compress"] is False
    assert behaviour["ViewerProtocolPolicy"] == "https-only"
    assert set(behaviour["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"}
    assert not {"FunctionAssociations", "LambdaFunctionAssociations"} & behaviour.keys()


def test_the_front_says_who_it_is_and_waits_as_long_as_the_api(fronted: Templates) -> None:
    (origin,) = distribution(fronted)["Origins"]
    (header,) = origin["OriginCustomHeaders"]

    assert origin["DomainName"] == "origin.example.com"
    assert header["HeaderName"] == FRONT_HEADER
    parameter = fronted.front.json["Parameters"][header["HeaderValue"]["Ref"]]
    assert parameter["Default"] == "/checkback/production/front-key"
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert origin["CustomOriginConfig"]["OriginReadTimeout"] > 30
    assert origin["ConnectionAttempts"] * origin["ConnectionTimeout"] < 5


def test_nobody_walks_round_it(fronted: Templates) -> None:
    """The API's own address is closed, and whoever finds its other names is refused by the functions."""
    api = fronted.service.only("ApiGatewayV2::Api")["Properties"]
    mapped = {own["Properties"]["DomainName"] for own in fronted.service.resources("ApiGatewayV2::ApiMapping").values()}

    assert api["DisableExecuteApiEndpoint"] is True
    assert mapped == {"hooks.example.com", "origin.example.com"}
    for name in ASKED:
        variables = fronted.service.function(name)["Properties"]["Environment"]["Variables"]
        assert variables["FRONT_ONLY"] == "on"
        assert variables["PUBLIC_URL"] == "https://hooks.example.com"
    assert "FRONT_ONLY" not in json.dumps(fronted.service.function("deliver"))


def test_requests_are_taken_past_it_until_the_stage_says_otherwise(synthesise: Synthesise) -> None:
    """The name has to lead to the front first."""
    settings = {name: own for name, own in FRONTED.items() if name != "front_only"}

    assert "FRONT_ONLY" not in json.dumps(synthesise("production", **settings).service.json)


def test_the_firewall_stands_where_cloudfront_takes_it(fronted: Templates) -> None:
    acl = fronted.front.only("WAFv2::WebACL")["Properties"]

    assert acl["Scope"] == "CLOUDFRONT"
    assert acl["DefaultAction"] == {"Allow": {}}
    (logical_id,) = fronted.front.resources("WAFv2::WebACL")
    assert distribution(fronted)["WebACLId"] == {"Fn::GetAtt": [logical_id, "Arn"]}
    assert acl["VisibilityConfig"]["SampledRequestsEnabled"] is False
    assert distribution(fronted)["ViewerCertificate"]["AcmCertificateArn"] == FRONTED["front_certificate_arn"]
    assert distribution(fronted)["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"


def test_managed_rules_look_at_no_webhook(fronted: Templates) -> None:
    """What they block is lost, whatever its size and its words: it is proved by its signature."""
    managed = {
        name: own["Statement"]["ManagedRuleGroupStatement"]
        for name, own in rules(fronted).items()
        if "ManagedRuleGroupStatement" in own["Statement"]
    }

    assert len(managed) == 3
    for statement in managed.values():
        assert paths(statement["ScopeDownStatement"]["NotStatement"]["Statement"]) == ["/hooks/", "/callbacks/"]
    common = managed["AWSManagedRulesCommonRuleSet"]["RuleActionOverrides"]
    counted = {own["Name"] for own in common if own["ActionToUse"] == {"Count": {}}}
    assert counted >= {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericRFI_BODY"}


@pytest.mark.parametrize(
    ("rule", "limit", "negated"),
    [("WebhooksOfOneAddress", 300_000, False), ("RequestsOfOneAddress", 10_000, True)],
)
def test_one_address_may_ask_so_often_and_is_told_to_come_later(
    fronted: Templates, rule: str, limit: int, negated: bool
) -> None:
    found = rules(fronted)[rule]
    rate = found["Statement"]["RateBasedStatement"]
    where = rate["ScopeDownStatement"]

    assert (rate["AggregateKeyType"], rate["Limit"], rate["EvaluationWindowSec"]) == ("IP", limit, 300)
    assert paths(where["NotStatement"]["Statement"] if negated else where) == ["/hooks/", "/callbacks/"]
    assert found["Action"]["Block"]["CustomResponse"]["ResponseCode"] == 429


def test_the_name_behind_the_front_is_no_place_to_send_to(fronted: Templates) -> None:
    for name in ("merchant_api", "deliver", "pull"):
        variables = fronted.service.function(name)["Properties"]["Environment"]["Variables"]
        assert variables["ORIGIN_NAME"] == "origin.example.com"


def test_the_kept_name_stays_where_it_is_when_a_front_comes(fronted: Templates, synthesise: Synthesise) -> None:
    settings = {name: FRONTED[name] for name in ("domain_name", "certificate_arn", "accept_disposable_urls")}
    before = synthesise("production", **settings).state

    def names(state: StackTemplate) -> dict[str, str]:
        found = state.resources("ApiGatewayV2::DomainName")
        return {logical_id: own["Properties"]["DomainName"] for logical_id, own in found.items()}

    assert names(before).items() <= names(fronted.state).items()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"origin_domain_name": None}, "front_certificate_arn and origin_domain_name go together"),
        ({"front_certificate_arn": None}, "front_certificate_arn and origin_domain_name go together"),
        ({"front_certificate_arn": None, "origin_domain_name": None}, "front_only without a front"),
        ({"origin_domain_name": "hooks.example.com"}, "origin_domain_name must be another"),
        ({"domain_name": None, "certificate_arn": None}, "a front needs domain_name"),
        ({"front_certificate_arn": FRONTED["certificate_arn"]}, "must be of us-east-1"),
        ({"front_requests_per_ip": 5}, "front_requests_per_ip must be 10"),
    ],
)
def test_a_front_that_cannot_work_is_refused(changed: dict[str, object], complaint: str) -> None:
    settings = {name: own for name, own in {**FRONTED, **changed}.items() if own is not None}

    with pytest.raises(UnusableStageError, match=complaint):
        Stage.from_context("live", {"live": settings})
