"""What becomes of mails by the stage's own SES: a configuration set tells, and the callbacks function hears."""

from typing import Final

from aws_cdk import Fn
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ses as ses
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.acknowledged import acknowledge
from infra.parameters import configuration_set_name
from infra.stages import Stage

_TOLD: Final = (
    ses.EmailSendingEvent.BOUNCE,
    ses.EmailSendingEvent.COMPLAINT,
    ses.EmailSendingEvent.DELIVERY,
    ses.EmailSendingEvent.REJECT,
    ses.EmailSendingEvent.RENDERING_FAILURE,
)


class MailEvents(Construct):
    """``configuration_set`` is the name that every mail of the stage's own goes out with.

    SNS invokes the function itself: nobody else may, so there is no URL, no token and nothing to confirm. SES keeps
    bounces and complaints on the account's own suppression list too, should one never arrive here.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, callbacks: lambda_.IFunction) -> None:
        super().__init__(scope, construct_id)
        self.configuration_set = configuration_set_name(stage.name)
        told = ses.ConfigurationSet(
            self,
            "Set",
            configuration_set_name=self.configuration_set,
            suppression_reasons=ses.SuppressionReasons.BOUNCES_AND_COMPLAINTS,
        )
        topic = sns.Topic(self, "Events", enforce_ssl=True)
        told.add_event_destination("ToCallbacks", destination=ses.EventDestination.sns_topic(topic), events=[*_TOLD])
        sns.Subscription(
            self,
            "ToCallbacks",
            topic=topic,
            protocol=sns.SubscriptionProtocol.LAMBDA,
            # By way of a substitution: cfn-lint takes an alias for no function.
            endpoint=Fn.sub("${Live}", {"Live": callbacks.function_arn}),
        )
        callbacks.add_permission(
            "MailEvents", principal=iam.ServicePrincipal("sns.amazonaws.com"), source_arn=topic.topic_arn
        )
        repeated = "SNS tries for 23 days what Lambda does not take; SES suppresses by itself."
        acknowledge(self, {"Serverless-SNSRedrivePolicy": repeated})
