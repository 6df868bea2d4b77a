"""What a vendor's report is about: found by our id or the vendor's, never beyond the endpoint's own merchant."""

from dataclasses import replace

import pytest

from shared.destinations.status import Status, StatusReport
from shared.domain.consent import Channel
from shared.domain.identity import IdentityKind
from shared.domain.ids import EndpointId, MerchantId
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.early_reports import EarlyReportStore
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.delivering.report_subjects import ReportingEndpoints, ReportSubjects, Subject, UnknownEndpoint
from tests.integration.shop import MERCHANT, Shop

PHONE = "+917777788888"


@pytest.fixture
def subjects(shop: Shop) -> ReportSubjects:
    stores = shop.stores
    messages, early = VendorMessageStore(shop.table), EarlyReportStore(shop.table)
    return ReportSubjects(stores.deliveries, messages, early, stores.checkouts, stores.hasher)


def subject_of(shop: Shop, subjects: ReportSubjects, endpoint: Endpoint, report: StatusReport) -> Subject:
    return subjects.of(endpoint, report, shop.now, shop.now)


def test_a_delivery_named_by_our_id_leads_to_its_checkout_and_its_phone(shop: Shop, subjects: ReportSubjects) -> None:
    endpoint = shop.endpoint()
    shop.abandon()
    shop.settle()
    (delivery,) = shop.deliveries()
    found = subject_of(shop, subjects, endpoint, StatusReport(Status.READ, delivery_id=delivery.id))
    assert found == Subject(delivery, None, shop.checkout())
    phone = str(shop.checkout().text("customer.phone"))
    assert subjects.recipients(found, Channel.WHATSAPP) == [
        shop.stores.hasher.identity(MERCHANT, IdentityKind.PHONE, phone)
    ]


def test_another_endpoints_delivery_is_none_of_its_business(shop: Shop, subjects: ReportSubjects) -> None:
    shop.endpoint()
    shop.abandon()
    shop.settle()
    (delivery,) = shop.deliveries()
    shop.wait(seconds=1)
    other = shop.endpoint()
    assert subject_of(shop, subjects, other, StatusReport(Status.READ, delivery_id=delivery.id)) == Subject(
        None, None, None
    )


def test_a_recipients_newest_checkout_where_no_delivery_is_named(shop: Shop, subjects: ReportSubjects) -> None:
    endpoint = shop.endpoint()
    shop.webhook()
    phone = str(shop.checkout().text("customer.phone"))
    report = StatusReport(Status.OPTED_OUT, recipient_phone=phone)
    found = subject_of(shop, subjects, endpoint, report)
    assert (found.delivery, found.checkout) == (None, shop.checkout())
    assert subjects.recipients(found, Channel.WHATSAPP) == [found.recipient]
    foreign = replace(endpoint, merchant_id=MerchantId("mer_01KAHJ0000000000000000THER"))
    assert subject_of(shop, subjects, foreign, report).checkout is None


def test_an_endpoint_that_nobody_has_or_whose_kind_reports_nothing_is_unknown(shop: Shop) -> None:
    endpoints = ReportingEndpoints(EndpointStore(shop.table), shop.stores.cipher)
    for endpoint_id in (EndpointId("ep_nobodys"), shop.endpoint().id):
        with pytest.raises(UnknownEndpoint):
            endpoints.find(endpoint_id, shop.now)
