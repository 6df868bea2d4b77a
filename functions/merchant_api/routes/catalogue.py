"""What there is to choose from, and whether the API answers."""

from typing import Literal, TypedDict

from functions.merchant_api.operations import ANYONE, MERCHANT
from functions.merchant_api.session import Json, Page, answer, listed, new_router
from shared.destinations import registry as destinations
from shared.destinations.registry import DestinationJson
from shared.providers import registry as providers
from shared.workflows.intake.source_setup import ProviderJson, describe

router = new_router()


class HealthyJson(TypedDict):
    """The API answers."""

    status: Literal["ok"]


@router.get(
    "/v1/providers",
    security=MERCHANT,
    summary="List checkout providers and the credentials each wants",
    tags=["Catalogue"],
)
def list_providers() -> Json[Page[ProviderJson]]:
    """By name."""
    return listed([describe(name) for name in providers.names()], None)


@router.get("/v1/destinations", security=MERCHANT, summary="List endpoint kinds and their settings", tags=["Catalogue"])
def list_destinations() -> Json[Page[DestinationJson]]:
    """By kind; ``settings`` is a JSON Schema."""
    return listed(destinations.describe(), None)


@router.get("/healthz", security=ANYONE, summary="Whether the API answers", tags=["Catalogue"])
def healthz() -> Json[HealthyJson]:
    """Asks no other service."""
    return answer({"status": "ok"})
