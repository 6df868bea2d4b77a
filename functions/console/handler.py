"""The console's handler: one request of a browser in, one page, redirect or file out."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from functions.console import access, answers
from functions.console.composition import prepare, services_for
from functions.console.pages import (
    campaigns,
    checkouts,
    coupons,
    deliveries,
    endpoint_template,
    endpoints,
    health,
    operator,
    overview,
    privacy,
    quarantine,
    samples,
    shop,
    sources,
    start,
    suppressions,
    tokens,
)
from functions.console.visit import CONSOLE, Refused, Visit
from shared.aws.faults import AWS_ERRORS
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger, last_net
from shared.aws.preparing import prepare_where_it_is_free
from shared.aws.snapshot import renew_after_restore

type Page = Callable[..., dict[str, Any]]

logger = function_logger("console")
renew_after_restore()
_ID = r"[a-z]{2,4}_[0-9A-Za-z]{1,64}"
_KIND = r"(?P<kind>[a-z0-9_]{1,40})"
_PROVIDER = r"(?P<provider>[a-z0-9_]{1,40})"
_QUARANTINED = rf"(?P<quarantine_id>{_ID})"
_OPEN: Mapping[tuple[str, str], Page] = {
    ("GET", r"/sign-in"): access.ask,
    ("POST", r"/sign-in"): access.sign_in,
    ("GET", r"/sign-in/operator"): access.ask_operator,
    ("POST", r"/sign-in/operator"): access.sign_in_operator,
    ("POST", r"/sign-out"): access.sign_out,
    ("GET", r"/enter/(?P<link>[\w.-]{1,100})"): access.ask_to_enter,
    ("POST", r"/enter/(?P<link>[\w.-]{1,100})"): access.enter,
}
"""For whoever has no session yet."""
_SIGNED_IN: Mapping[tuple[str, str], Page] = {
    ("GET", r""): overview.show,
    ("GET", r"/start"): start.show,
    ("POST", r"/start/test"): start.test,
    ("GET", r"/checkouts"): checkouts.show_list,
    ("POST", r"/checkouts"): checkouts.find,
    ("GET", rf"/checkouts/(?P<checkout_id>{_ID})"): checkouts.show,
    ("POST", rf"/checkouts/(?P<checkout_id>{_ID})/(?P<action>discard|complete)"): checkouts.act,
    ("GET", r"/deliveries"): deliveries.show_list,
    ("GET", rf"/deliveries/(?P<delivery_id>{_ID})"): deliveries.show,
    ("POST", rf"/deliveries/(?P<delivery_id>{_ID})/retry"): deliveries.retry,
    ("GET", r"/endpoints"): endpoints.show_list,
    ("GET", r"/endpoints/new"): endpoints.choose,
    ("GET", rf"/endpoints/new/{_KIND}"): endpoints.ask,
    ("POST", rf"/endpoints/new/{_KIND}"): endpoints.create,
    ("GET", rf"/endpoints/(?P<endpoint_id>{_ID})"): endpoints.show,
    ("GET", rf"/endpoints/(?P<endpoint_id>{_ID})/change"): endpoints.ask_change,
    ("POST", rf"/endpoints/(?P<endpoint_id>{_ID})/change"): endpoints.change,
    ("GET", rf"/endpoints/(?P<endpoint_id>{_ID})/template"): endpoint_template.ask,
    ("POST", rf"/endpoints/(?P<endpoint_id>{_ID})/template"): endpoint_template.write,
    ("POST", rf"/endpoints/(?P<endpoint_id>{_ID})/rotate"): endpoints.rotate,
    ("POST", rf"/endpoints/(?P<endpoint_id>{_ID})/remove"): endpoints.remove,
    ("POST", rf"/endpoints/(?P<endpoint_id>{_ID})/recover"): endpoints.recover,
    ("POST", rf"/endpoints/(?P<endpoint_id>{_ID})/(?P<action>test|enable|disable)"): endpoints.act,
    ("GET", r"/campaigns"): campaigns.show_list,
    ("GET", r"/campaigns/new"): campaigns.begin,
    ("POST", r"/campaigns/new"): campaigns.create,
    ("GET", r"/campaigns/quiet-hours"): campaigns.ask_quiet_hours,
    ("POST", r"/campaigns/quiet-hours"): campaigns.set_quiet_hours,
    ("GET", rf"/campaigns/(?P<campaign_id>{_ID})"): campaigns.show,
    ("GET", rf"/campaigns/(?P<campaign_id>{_ID})/change"): campaigns.ask_change,
    ("POST", rf"/campaigns/(?P<campaign_id>{_ID})/change"): campaigns.change,
    ("POST", rf"/campaigns/(?P<campaign_id>{_ID})/(?P<action>pause|activate)"): campaigns.restate,
    ("POST", rf"/campaigns/(?P<campaign_id>{_ID})/remove"): campaigns.remove,
    ("GET", r"/sources"): sources.show_list,
    ("GET", r"/sources/new"): sources.choose,
    ("GET", rf"/sources/new/{_PROVIDER}"): sources.ask,
    ("POST", rf"/sources/new/{_PROVIDER}"): sources.connect,
    ("GET", rf"/sources/(?P<source_id>{_ID})"): sources.show,
    ("GET", rf"/sources/(?P<source_id>{_ID})/change"): sources.ask_change,
    ("POST", rf"/sources/(?P<source_id>{_ID})/change"): sources.change,
    ("POST", rf"/sources/(?P<source_id>{_ID})/backfill"): sources.backfill,
    ("GET", rf"/sources/(?P<source_id>{_ID})/sample"): samples.ask,
    ("POST", rf"/sources/(?P<source_id>{_ID})/sample"): samples.send,
    ("POST", rf"/sources/(?P<source_id>{_ID})/rotate"): sources.rotate,
    ("POST", rf"/sources/(?P<source_id>{_ID})/disconnect"): sources.disconnect,
    ("GET", r"/quarantine"): quarantine.show_list,
    ("POST", r"/quarantine"): quarantine.replay_all,
    ("GET", rf"/quarantine/{_QUARANTINED}"): quarantine.show,
    ("POST", rf"/quarantine/{_QUARANTINED}/try"): quarantine.attempt,
    ("POST", rf"/quarantine/{_QUARANTINED}/keep"): quarantine.keep,
    ("POST", rf"/quarantine/{_QUARANTINED}/replay"): quarantine.replay,
    ("POST", rf"/quarantine/{_QUARANTINED}/drop"): quarantine.drop,
    ("GET", r"/health"): health.show,
    ("GET", r"/settings"): shop.show,
    ("POST", r"/settings"): shop.change,
    ("GET", r"/settings/tokens"): tokens.show_list,
    ("POST", r"/settings/tokens"): tokens.make,
    ("POST", r"/settings/tokens/revoke"): tokens.revoke,
    ("GET", r"/settings/suppressions"): suppressions.show_list,
    ("POST", r"/settings/suppressions"): suppressions.find,
    ("POST", r"/settings/suppressions/add"): suppressions.add,
    ("POST", r"/settings/suppressions/lift"): suppressions.lift,
    ("GET", r"/settings/coupons"): coupons.show_list,
    ("POST", r"/settings/coupons"): coupons.make,
    ("GET", rf"/settings/coupons/(?P<pool_id>{_ID})"): coupons.show,
    ("POST", rf"/settings/coupons/(?P<pool_id>{_ID})"): coupons.fill,
    ("GET", r"/settings/privacy"): privacy.ask,
    ("POST", r"/settings/privacy"): privacy.look,
    ("POST", r"/settings/privacy/download"): privacy.download,
    ("POST", r"/settings/privacy/erase"): privacy.erase,
    ("POST", r"/sign-out-everywhere"): access.sign_out_everywhere,
    ("GET", r"/operator"): operator.show,
    ("GET", r"/operator/stage"): operator.show_stage,
    ("GET", r"/operator/runbook/(?P<section>[a-z]{1,40})"): operator.show_runbook,
    ("POST", rf"/operator/merchants/(?P<merchant_id>{_ID})/link"): operator.link,
}
_STATIC = re.compile(rf"{CONSOLE}/static/([\w.-]+)")


@last_net
@behind_front
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer one request."""
    asked = event["requestContext"]["http"]["method"]
    method = "GET" if asked == "HEAD" else asked
    visit = Visit.of(event, services_for(method))
    if (file := _STATIC.fullmatch(visit.path)) and method == "GET":
        return answers.static(file[1]) or _missing(visit)
    try:
        return _answered(visit, method)
    except Refused as refused:
        if refused.status == 401:
            return access.over(visit)
        if refused.status == 403 and visit.is_operator:
            return answers.see_other(visit.url("/operator"))
        return answers.page(visit, "refused.html", status=refused.status, problem=refused, merchant=_merchant(visit))
    except AWS_ERRORS:
        logger.exception("page_not_answered")
        return answers.page(visit, "unavailable.html", status=503, signed_in=False)


def _answered(visit: Visit, method: str) -> dict[str, Any]:
    if method != "GET" and not visit.own_origin:
        logger.warning("foreign_form")
        return answers.page(visit, "foreign.html", status=403, signed_in=False)
    for routes in (_OPEN, _SIGNED_IN):
        for (wanted, pattern), show in routes.items():
            found = re.fullmatch(CONSOLE + pattern, visit.path, re.ASCII)
            if found is not None and wanted == method:
                return show(visit, **found.groupdict())
    return _missing(visit)


def _missing(visit: Visit) -> dict[str, Any]:
    return answers.page(visit, "missing.html", status=404, signed_in=False)


def _merchant(visit: Visit) -> dict[str, Any] | None:
    """Whose session it is, for the head of a page that says no; None where even that is not to be had."""
    try:
        return visit.merchant
    except Refused:
        return None


def _prepare() -> None:
    """Besides, the frame of every page."""
    prepare()
    answers.load()


prepare_where_it_is_free("console", _prepare)
