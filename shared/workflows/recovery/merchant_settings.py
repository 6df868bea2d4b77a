"""Merchants' settings, read once per sweep."""

from collections.abc import Callable

from shared.domain.ids import MerchantId
from shared.domain.settings import Settings
from shared.store.configuration import MerchantStore

type SettingsOf = Callable[[MerchantId], Settings]
"""The settings in force for a merchant; the defaults where it is gone."""


class MerchantSettings:
    """Settings by merchant. ``begin`` starts a sweep: a change is obeyed from the next one on."""

    def __init__(self, merchants: MerchantStore) -> None:
        """Share one store per process."""
        self._merchants = merchants
        self._read: dict[MerchantId, Settings] = {}

    def begin(self) -> None:
        """Forget what the last sweep read."""
        self._read.clear()

    def of(self, merchant_id: MerchantId) -> Settings:
        """The merchant's settings."""
        if merchant_id not in self._read:
            merchant = self._merchants.get(merchant_id)
            self._read[merchant_id] = merchant.value.settings if merchant else Settings()
        return self._read[merchant_id]
