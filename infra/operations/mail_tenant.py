"""A merchant's tenant in the stage's own SES: which identities its mail may come from, and no others.

    python -m infra.operations.mail_tenant --stage production add mer_… --identity mail.shop.example
    python -m infra.operations.mail_tenant --stage production remove mer_…

For stages with ``stage_mail: tenants``. Only the operator binds an identity to a merchant: a merchant that named its
own sender would bind anybody's. ``add`` before the merchant's endpoint sends, again for each further identity;
``remove`` when its last endpoint of the kind, or the merchant, is gone. Both may be run any number of times, and go on
where they broke off.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import boto3

from infra.parameters import configuration_set_name, tenant_prefix
from shared.domain.ids import IdKind, is_id

if TYPE_CHECKING:
    from collections.abc import Callable

_IDENTITY: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{3,253}|[A-Za-z0-9.-]{3,253}")


class MailTenants:
    """Tenants of one account and Region.

    ``ses`` is the client of SES v2, ``arn`` what its resources' ARNs begin with, ``stage`` whose merchants they are.
    """

    def __init__(self, ses: Any, arn: str, stage: str) -> None:
        self._ses = ses
        self._arn = arn
        self._stage = stage

    def add(self, merchant_id: str, identity: str) -> None:
        """The merchant's tenant, which may send from the identity with the stage's configuration set."""
        known, tenant = self._ses.exceptions.AlreadyExistsException, self._named(merchant_id)
        _unless(known, self._ses.create_tenant, TenantName=tenant)
        for resource in (f"identity/{identity}", f"configuration-set/{configuration_set_name(self._stage)}"):
            _unless(
                known,
                self._ses.create_tenant_resource_association,
                TenantName=tenant,
                ResourceArn=f"{self._arn}:{resource}",
            )

    def remove(self, merchant_id: str) -> None:
        """No tenant, and so no mail. Its identities stay, which are the operator's."""
        gone, tenant = self._ses.exceptions.NotFoundException, self._named(merchant_id)
        try:
            resources = list(self._resources(tenant))
        except gone:
            return
        for resource in resources:
            _unless(gone, self._ses.delete_tenant_resource_association, TenantName=tenant, ResourceArn=resource)
        _unless(gone, self._ses.delete_tenant, TenantName=tenant)

    def _named(self, merchant_id: str) -> str:
        return tenant_prefix(self._stage) + merchant_id

    def _resources(self, tenant: str) -> Iterator[str]:
        more: dict[str, str] = {}
        while True:
            page = self._ses.list_tenant_resources(TenantName=tenant, **more)
            yield from (own["ResourceArn"] for own in page.get("TenantResources", []))
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}


def _unless(refused: type[Exception], call: "Callable[..., object]", **arguments: str) -> None:
    """The call; what it wants is there, or gone, already where it is refused so."""
    try:
        call(**arguments)
    except refused:
        return


def main(arguments: Sequence[str] | None = None) -> int:
    """Add or remove, with the credentials and the Region of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    deeds = parser.add_subparsers(dest="deed", required=True)
    adding, removing = deeds.add_parser("add"), deeds.add_parser("remove")
    adding.add_argument("merchant_id")
    adding.add_argument("--identity", required=True, help="a domain or an address that SES has verified")
    removing.add_argument("merchant_id")
    given = parser.parse_args(arguments)
    if not is_id(IdKind.MERCHANT, given.merchant_id):
        parser.error("merchant_id is the id of a merchant: mer_…")
    ses = boto3.client("sesv2")
    account = boto3.client("sts").get_caller_identity()["Account"]
    tenants = MailTenants(ses, f"arn:{ses.meta.partition}:ses:{ses.meta.region_name}:{account}", given.stage)
    if given.deed == "remove":
        tenants.remove(given.merchant_id)
    elif _IDENTITY.fullmatch(given.identity) is None:
        parser.error("identity is a domain or an address")
    else:
        tenants.add(given.merchant_id, given.identity)
    sys.stdout.write(f"{given.merchant_id}: {given.deed} done\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
