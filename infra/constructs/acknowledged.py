"""Findings of cdk-nag that are meant to be: each with its reason, beside the construct it is about."""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Say why ``findings`` (rule, with its finding in brackets where it has one: reason) stand, here and below.

    Of a finding ``*`` stands for any text: cdk-nag writes references out with logical ids, which no source can know.
    ``tests/unit/infra/test_nag.py`` reads them, and refuses one that nothing needs.
    """
    for rule, reason in findings.items():
        pack = rule.partition("-")[0]
        Validations.of(construct).acknowledge(Acknowledgment(id=f"{pack}::{rule}", reason=reason))
