"""The firewall of the front: how much one address may ask, and AWS's own rules where they cannot hurt a webhook."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.stages import Stage

_PROVED: Final = ("/hooks/", "/callbacks/")
"""Paths of providers and vendors: signed over their bytes, and lost where they are refused."""
_WINDOW_SECONDS: Final = 300
_OF_WRITING: Final = (
    "SizeRestrictions_BODY",
    "CrossSiteScripting_BODY",
    "GenericLFI_BODY",
    "GenericRFI_BODY",
    "EC2MetaDataSSRF_BODY",
)
"""Rules of the common set that are only counted: merchants write templates, HTML and URLs, of more than 8 KB."""
_OF_SCRIPTS: Final = ("NoUserAgent_HEADER",)


class Firewall(Construct):
    """``arn`` is what a distribution names. CloudFront takes one of us-east-1 alone (AWS WAF Developer Guide).

    Managed rules look at no path of ``_PROVED``: a false alarm there is a webhook that is gone, and some providers
    switch theirs off after a few. There only the rate of one address counts.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        rules = [
            _rate("WebhooksOfOneAddress", 0, stage.front_webhooks_per_ip, _any_of(_PROVED)),
            _rate("RequestsOfOneAddress", 1, stage.front_requests_per_ip, _none_of(_PROVED)),
            _managed("AWSManagedRulesAmazonIpReputationList", 2),
            _managed("AWSManagedRulesKnownBadInputsRuleSet", 3),
            _managed("AWSManagedRulesCommonRuleSet", 4, counted=(*_OF_WRITING, *_OF_SCRIPTS)),
        ]
        acl = waf.CfnWebACL(
            self,
            "Rules",
            scope="CLOUDFRONT",
            description=f"Checkback {stage.name}",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow=waf.CfnWebACL.AllowActionProperty()),
            rules=rules,
            visibility_config=_seen("Front"),
        )
        self.arn = acl.attr_arn


def _rate(name: str, priority: int, most: int, where: waf.CfnWebACL.StatementProperty) -> waf.CfnWebACL.RuleProperty:
    """429 for an address that asks more often than ``most`` in five minutes: senders repeat what is answered so."""
    return waf.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        action=waf.CfnWebACL.RuleActionProperty(
            block=waf.CfnWebACL.BlockActionProperty(
                custom_response=waf.CfnWebACL.CustomResponseProperty(response_code=429)
            )
        ),
        statement=waf.CfnWebACL.StatementProperty(
            rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                aggregate_key_type="IP",
                evaluation_window_sec=_WINDOW_SECONDS,
                limit=most,
                scope_down_statement=where,
            )
        ),
        visibility_config=_seen(name),
    )


def _managed(name: str, priority: int, *, counted: Sequence[str] = ()) -> waf.CfnWebACL.RuleProperty:
    count = waf.CfnWebACL.RuleActionProperty(count=waf.CfnWebACL.CountActionProperty())
    return waf.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
        statement=waf.CfnWebACL.StatementProperty(
            managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                scope_down_statement=_none_of(_PROVED),
                rule_action_overrides=[
                    waf.CfnWebACL.RuleActionOverrideProperty(name=own, action_to_use=count) for own in counted
                ]
                or None,
            )
        ),
        visibility_config=_seen(name),
    )


def _any_of(prefixes: Sequence[str]) -> waf.CfnWebACL.StatementProperty:
    begins = [
        waf.CfnWebACL.StatementProperty(
            byte_match_statement=waf.CfnWebACL.ByteMatchStatementProperty(
                field_to_match=waf.CfnWebACL.FieldToMatchProperty(uri_path={}),
                positional_constraint="STARTS_WITH",
                search_string=own,
                text_transformations=[waf.CfnWebACL.TextTransformationProperty(priority=0, type="NONE")],
            )
        )
        for own in prefixes
    ]
    return waf.CfnWebACL.StatementProperty(or_statement=waf.CfnWebACL.OrStatementProperty(statements=begins))


def _none_of(prefixes: Sequence[str]) -> waf.CfnWebACL.StatementProperty:
    return waf.CfnWebACL.StatementProperty(
        not_statement=waf.CfnWebACL.NotStatementProperty(statement=_any_of(prefixes))
    )


def _seen(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    """Counted, and no request is kept: samples hold shoppers' addresses."""
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=f"Checkback{name}", sampled_requests_enabled=False
    )
