"""The optional front of a stage: CloudFront with a firewall, in us-east-1, where both must be."""

from typing import Any

from aws_cdk import CfnOutput, CfnParameter, Duration, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from constructs import Construct

from infra.constructs.acknowledged import acknowledge
from infra.constructs.firewall import Firewall
from infra.parameters import FRONT_KEY, parameter_name
from infra.stages import Stage
from shared.aws.front import FRONT_HEADER


class FrontStack(Stack):
    """Hands every request on as it came: body, query, path and headers, of every method; caches and packs nothing.

    Signatures are made over bytes. Of headers only ``Host`` is the origin's own: no code of ours reads it. The template
    names nothing of the other stacks: the API is found by ``origin_domain_name``, and the front's key by a parameter.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        if stage.domain_name is None or stage.origin_domain_name is None or stage.front_certificate_arn is None:
            msg = f"stage {stage.name!r} has no front"
            raise ValueError(msg)
        key = CfnParameter(
            self,
            "FrontKey",
            type="AWS::SSM::Parameter::Value<String>",
            default=parameter_name(stage.name, FRONT_KEY),
        )
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"Checkback ({stage.name})",
            domain_names=[stage.domain_name],
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", stage.front_certificate_arn),
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            web_acl_id=Firewall(self, "Firewall", stage=stage).arn,
            default_behavior=cloudfront.BehaviorOptions(
                origin=origins.HttpOrigin(
                    stage.origin_domain_name,
                    protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
                    origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
                    custom_headers={FRONT_HEADER: key.value_as_string},
                    # Providers give up after five seconds, and API Gateway answers within thirty.
                    connection_attempts=2,
                    connection_timeout=Duration.seconds(2),
                    read_timeout=Duration.seconds(35),
                ),
                allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
                # A redirect would make a GET of a webhook.
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                compress=False,
            ),
        )
        acknowledge(
            distribution,
            {
                "AwsSolutions-CFR1": "Shoppers and providers may be anywhere.",
                "AwsSolutions-CFR3": "The API logs each request without the shopper's address; this would keep it.",
            },
        )
        CfnOutput(self, "FrontTarget", value=distribution.distribution_domain_name)
