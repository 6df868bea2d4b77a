"""Where a shopper probably is: countries and time zones, from the shipping address, else the phone's region, else the
merchant. What cannot be told apart is kept as several, and the rules of all of them hold."""

from dataclasses import dataclass
from functools import lru_cache

from shared.domain.checkout import Checkout

UNITED_STATES = "US"


def _each(codes: str, zones: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(codes.split(), zones)


_NEW_YORK, _CHICAGO, _DENVER = "America/New_York", "America/Chicago", "America/Denver"
_PHOENIX, _LOS_ANGELES = "America/Phoenix", "America/Los_Angeles"
_ZONES_OF_PROVINCES: dict[str, dict[str, tuple[str, ...]]] = {
    "US": {
        **_each("CT DC DE GA MA MD ME NC NH NJ NY OH PA RI SC VA VT WV", (_NEW_YORK,)),
        **_each("AL AR IA IL LA MN MO MS OK WI", (_CHICAGO,)),
        **_each("CO MT NM UT WY", (_DENVER,)),
        **_each("CA NV WA", (_LOS_ANGELES,)),
        **_each("FL IN KY MI TN", (_NEW_YORK, _CHICAGO)),
        **_each("KS ND NE SD TX", (_CHICAGO, _DENVER)),
        **_each("ID OR", (_DENVER, _LOS_ANGELES)),
        "AZ": (_PHOENIX, _DENVER),
        "AK": ("America/Anchorage", "America/Adak"),
        "HI": ("Pacific/Honolulu",),
    },
    "CA": {
        "AB": ("America/Edmonton",),
        "BC": ("America/Vancouver", "America/Edmonton", "America/Fort_Nelson"),
        "MB": ("America/Winnipeg",),
        "NB": ("America/Moncton",),
        "NL": ("America/St_Johns", "America/Goose_Bay"),
        "NS": ("America/Halifax",),
        "NT": ("America/Edmonton", "America/Inuvik"),
        "NU": ("America/Iqaluit", "America/Rankin_Inlet", "America/Cambridge_Bay"),
        "ON": ("America/Toronto", "America/Winnipeg"),
        "PE": ("America/Halifax",),
        "QC": ("America/Toronto", "America/Blanc-Sablon"),
        "SK": ("America/Regina", "America/Edmonton"),
        "YT": ("America/Whitehorse",),
    },
    "AU": {
        "ACT": ("Australia/Sydney",),
        "NSW": ("Australia/Sydney", "Australia/Broken_Hill"),
        "NT": ("Australia/Darwin",),
        "QLD": ("Australia/Brisbane",),
        "SA": ("Australia/Adelaide",),
        "TAS": ("Australia/Hobart",),
        "VIC": ("Australia/Melbourne",),
        "WA": ("Australia/Perth", "Australia/Eucla"),
    },
}
"""Zones by ISO 3166-2 subdivision, for the countries whose zones lie far apart; elsewhere the country's zones are
close enough for their overlap. Source: the comments of the IANA database's zone.tab."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A shopper's whereabouts. ``zones`` is empty where nothing tells any; ``province`` is a code without country."""

    zones: tuple[str, ...]
    country: str | None = None
    province: str | None = None
    phone_region: str | None = None

    @property
    def countries(self) -> frozenset[str]:
        """Every country whose rules may hold for the shopper."""
        return frozenset(own for own in (self.country, self.phone_region) if own is not None)


def recipient_of(checkout: Checkout, *, merchant_zone: str | None, merchant_country: str | None = None) -> Recipient:
    """Where the checkout's shopper is; without address and phone, where the merchant is."""
    region = phone_region(checkout.text("customer.phone"))
    shipped_to = checkout.pair("shipping_address.country")[1]
    country = shipped_to.strip().upper() if shipped_to and shipped_to.strip() else None
    province = _province(checkout, country)
    zones = zones_of(country, province) or zones_of(region, None)
    if not zones:
        return Recipient(
            () if merchant_zone is None else (merchant_zone,), country or merchant_country, province, region
        )
    return Recipient(zones, country or region, province, region)


@lru_cache(maxsize=1024)
def phone_region(phone: str | None) -> str | None:
    """The country a phone number (E.164) belongs to, or None where the number tells none."""
    if not phone:
        return None
    import phonenumbers

    try:
        parsed = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(parsed)
    if region is None:
        region = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    return None if region in {None, "ZZ", "001"} else region


def zones_of(country: str | None, province: str | None) -> tuple[str, ...]:
    """The IANA zones of a province where it is known, else of the whole country; none for an unknown one."""
    if country is None:
        return ()
    of_province = _ZONES_OF_PROVINCES.get(country, {}).get(province or "")
    return of_province or _zones_of_countries().get(country, ())


@lru_cache(maxsize=1)
def _zones_of_countries() -> dict[str, tuple[str, ...]]:
    """Every country's zones, from the IANA database's zone.tab."""
    from importlib.resources import files

    found: dict[str, tuple[str, ...]] = {}
    for line in files("tzdata.zoneinfo").joinpath("zone.tab").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            # Stations and uninhabited islands would only narrow the overlap.
            if not (zone.startswith("Antarctica/") and country != "AQ"):
                found[country] = (*found.get(country, ()), zone)
    return found


def _province(checkout: Checkout, country: str | None) -> str | None:
    code = checkout.pair("shipping_address.province")[1]
    if country is None or not code or not code.strip():
        return None
    return code.strip().upper().removeprefix(f"{country}-")
