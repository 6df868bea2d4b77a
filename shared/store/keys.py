"""Every key of the table. Nothing else spells one out, but ``list_keys`` where checkouts stand in the list index.

Times in keys are epoch milliseconds, zero-padded where they sort as text.
"""

import hashlib
from datetime import date, datetime
from typing import Final, Literal

from shared.domain.identity import Identity
from shared.domain.ids import (
    CampaignId,
    DeliveryId,
    EndpointId,
    EpisodeId,
    JobId,
    MerchantId,
    PoolId,
    QuarantineId,
    SourceId,
    digest,
    digest_bytes,
)
from shared.domain.instants import to_ms
from shared.store.writes import ItemKey

DUE_INDEX: Final = "due"
LIST_INDEX: Final = "list"
DELIVERY_SHARDS: Final = 8
FACT_SHARDS: Final = 1
FACT_SHARDS_AT_MOST: Final = 8  # of a day whose entry does not say how many it has
MESSAGE_SHARDS: Final = 8
OWNED_SHARDS: Final = 8
EVENT_SHARDS: Final = 4
SUPPRESSION_PREFIX: Final = "SUP#"
FORMER_PREFIX: Final = "WAS#"
JOB: Final = "J"
JOB_PREFIX: Final = "J#"
ORDER_PREFIX: Final = "O#"
POOL_PREFIX: Final = "POOL#"
COHORT_PREFIX: Final = "FACTS#"
UNSCHEDULED: Final = "SCHEDULES"
DATA_KEYS: Final = "DATA_KEYS"
FACT_FILES: Final = "FACT_FILES"

_OWNED: Final = "rows"
_JOBS: Final = "jobs"
_TOLD: Final = "events"
CHECKOUT_KIND: Final = "C"
STEP_KIND: Final = "S"
RETRY_KIND: Final = "R"
DUE_KINDS: Final = (CHECKOUT_KIND, STEP_KIND, RETRY_KIND)


def checkout(of_digest: str) -> ItemKey:
    """The checkout itself."""
    return f"C#{of_digest}", "C"


def event(of_digest: str, version: int) -> ItemKey:
    """The event that the checkout's write number ``version`` made."""
    return f"C#{of_digest}", f"E#{version:08d}"


def activity(of_digest: str, at: datetime, unique: str) -> ItemKey:
    """One entry of the checkout's timeline; ``unique`` makes a retry the same entry."""
    return f"C#{of_digest}", f"A#{to_ms(at):015d}#{unique}"


def link_uses(of_digest: str, link: str) -> ItemKey:
    """When one of the checkout's links was used lately."""
    return f"C#{of_digest}", f"L#{link}"


def webhook_rate(sender: SourceId | MerchantId, what: Literal["W", "S"] = "W") -> ItemKey:
    """How many webhooks a source or a merchant sent lately, or (``S``) samples."""
    return f"H#{sender}", what


def order(source_id: SourceId, order_id: str) -> ItemKey:
    """One purchase of one source."""
    return f"O#{digest(source_id, order_id).hex()[:32]}", "O"


def order_of_checkout(of_digest: str, order_key: ItemKey) -> ItemKey:
    """That a purchase which the checkout does not name was taken for its own."""
    return f"C#{of_digest}", order_key[0]


def order_named(by: ItemKey) -> ItemKey:
    """The purchase that such an entry names."""
    return by[1], "O"


def identity(of: Identity) -> ItemKey:
    """What is remembered of one identifier of a shopper."""
    return f"I#{of.merchant_id}#{of.kind.value}#{of.mac}", "I"


def episode(episode_id: EpisodeId) -> ItemKey:
    """One recovery attempt."""
    return f"P#{episode_id}", "P"


def telling(event_id: str) -> ItemKey:
    """How often dispatch began a stream record without ending it."""
    return f"D#{event_id}", "D"


def sweep_lease(kind: str, shard: int) -> ItemKey:
    """Which sweep works on a shard of one kind of due rows."""
    return f"SW#{kind}{shard}", "SW"


def delivery(delivery_id: DeliveryId, endpoint_id: EndpointId) -> ItemKey:
    """One delivery, in one of its endpoint's shards."""
    shard = hashlib.sha256(delivery_id.encode()).digest()[0] % DELIVERY_SHARDS
    return f"T#{endpoint_id}#{shard}", delivery_id


def deliveries(endpoint_id: EndpointId) -> list[str]:
    """The partitions that hold an endpoint's deliveries."""
    return [f"T#{endpoint_id}#{shard}" for shard in range(DELIVERY_SHARDS)]


def quarantine(quarantine_id: QuarantineId) -> ItemKey:
    """One quarantined body."""
    return f"Q#{quarantine_id}", "Q"


def erased_body(source_id: SourceId, body_digest: str) -> ItemKey:
    """That a body of a source was erased, and is not to be kept when it comes again."""
    return f"Q#{digest(source_id, body_digest).hex()[:32]}", "E"


def job(job_id: JobId) -> ItemKey:
    """One backfill job."""
    return f"{JOB_PREFIX}{job_id}", JOB


def source_pause(source_id: SourceId) -> ItemKey:
    """Until when a source's API wants to be left alone."""
    return f"B#{source_id}", "B"


def source_places(source_id: SourceId) -> ItemKey:
    """Which places in the rate of a source's API were given out lately."""
    return f"B#{source_id}", "W"


def endpoint_health(endpoint_id: EndpointId) -> ItemKey:
    """An endpoint's circuit breaker and what else is remembered of its health."""
    return f"B#{endpoint_id}", "B"


def rate_places(endpoint_id: EndpointId) -> ItemKey:
    """Which places in an endpoint's rate were given to sends lately."""
    return f"B#{endpoint_id}", "W"


def endpoint_owner(endpoint_id: EndpointId) -> ItemKey:
    """Whose endpoint it is, as vendors' status webhooks look it up."""
    return f"V#{endpoint_id}", "E"


def vendor_message(endpoint_id: EndpointId, message_digest: str) -> ItemKey:
    """Which delivery a vendor's message id belongs to, in one of its endpoint's shards."""
    return f"V#{endpoint_id}#{int(message_digest[:2], 16) % MESSAGE_SHARDS}", message_digest


def vendor_messages(endpoint_id: EndpointId) -> list[str]:
    """The partitions that hold what is known of an endpoint's messages."""
    return [f"V#{endpoint_id}#{shard}" for shard in range(MESSAGE_SHARDS)]


def merchant(merchant_id: MerchantId) -> str:
    """The partition of a merchant's configuration."""
    return f"M#{merchant_id}"


def profile(merchant_id: MerchantId) -> ItemKey:
    """The merchant itself."""
    return merchant(merchant_id), "PROFILE"


def former(merchant_id: MerchantId, of_id: str) -> ItemKey:
    """That an endpoint or a source was the merchant's: what hangs on it may outlive it."""
    return merchant(merchant_id), f"{FORMER_PREFIX}{of_id}"


def source(source_id: SourceId) -> ItemKey:
    """A source by its own id, as ingest looks it up."""
    return f"S#{source_id}", "S"


def source_entry(merchant_id: MerchantId, source_id: SourceId) -> ItemKey:
    """The source's entry in its merchant's partition."""
    return merchant(merchant_id), f"SRC#{source_id}"


def endpoint(merchant_id: MerchantId, endpoint_id: EndpointId) -> ItemKey:
    """One endpoint."""
    return merchant(merchant_id), f"EP#{endpoint_id}"


def campaign(merchant_id: MerchantId, campaign_id: CampaignId) -> ItemKey:
    """A campaign as it is now."""
    return merchant(merchant_id), f"CMP#{campaign_id}"


def campaign_version(merchant_id: MerchantId, campaign_id: CampaignId, version: int) -> ItemKey:
    """One version of a campaign. Its own prefix: reading the campaigns reads no versions."""
    return merchant(merchant_id), f"CMPV#{campaign_id}#{version:08d}"


def unscheduled(merchant_id: MerchantId, campaign_id: CampaignId) -> ItemKey:
    """A campaign whose schedule may not yet be as the campaign says."""
    return UNSCHEDULED, f"{merchant_id}#{campaign_id}"


def run(campaign_id: CampaignId, fired_at: datetime) -> ItemKey:
    """One run of a scheduled campaign."""
    return f"R#{campaign_id}#{to_ms(fired_at):015d}", "R"


def run_claim(campaign_id: CampaignId, fired_at: datetime, of_digest: str) -> ItemKey:
    """A run's claim on one checkout."""
    return run(campaign_id, fired_at)[0], f"C#{of_digest}"


def coupon_pool(merchant_id: MerchantId, pool_id: PoolId) -> ItemKey:
    """A pool of single-use codes."""
    return merchant(merchant_id), f"{POOL_PREFIX}{pool_id}"


def coupon_code(pool_id: PoolId, number: int) -> ItemKey:
    """The code with this number, counted from 1, in its pool."""
    return f"L#{pool_id}", f"N#{number:09d}"


def coupon_known(pool_id: PoolId, code_hash: str) -> ItemKey:
    """That a code is in its pool already."""
    return f"L#{pool_id}", f"H#{code_hash}"


def coupon_allocation(episode_id: EpisodeId, step: int) -> ItemKey:
    """The code given to one step of an episode."""
    return episode(episode_id)[0], f"K#{step:02d}"


def identity_of(suppression_key: ItemKey) -> ItemKey:
    """What is remembered of the identifier that a merchant's entry of a suppression is about."""
    partition, entry = suppression_key
    return f"I#{partition.removeprefix('M#')}#{entry.removeprefix(SUPPRESSION_PREFIX)}", "I"


def suppression(of: Identity) -> ItemKey:
    """A suppressed identifier's entry in its merchant's partition."""
    return merchant(of.merchant_id), f"{SUPPRESSION_PREFIX}{of.kind.value}#{of.mac}"


def fact(merchant_id: MerchantId, cohort: date, fact_id: str, shards: int) -> ItemKey:
    """One countable fact, in one of its cohort's ``shards``."""
    shard = hashlib.sha256(fact_id.encode()).digest()[0] % shards
    return f"N#{merchant_id}#{cohort.isoformat()}#{shard}", fact_id


def facts(merchant_id: MerchantId, cohort: date, shards: int = FACT_SHARDS_AT_MOST) -> list[str]:
    """The partitions that hold a cohort's facts; without ``shards`` all that may."""
    return [f"N#{merchant_id}#{cohort.isoformat()}#{shard}" for shard in range(shards)]


def cohort(merchant_id: MerchantId, day: date) -> ItemKey:
    """That a day's cohort may have facts."""
    return merchant(merchant_id), f"{COHORT_PREFIX}{day.isoformat()}"


def fact_walk() -> ItemKey:
    """How far the daily walk over all merchants' facts has come."""
    return FACT_FILES, "walk"


def rollups(merchant_id: MerchantId) -> str:
    """The partition of a merchant's sums."""
    return f"N#{merchant_id}"


def rollup(merchant_id: MerchantId, cohort: date) -> ItemKey:
    """The sums of one cohort."""
    return rollups(merchant_id), cohort.isoformat()


def token(token_hash: str) -> ItemKey:
    """A token by its hash, as every request looks it up."""
    return f"K#{token_hash}", "K"


def console_session(merchant_id: MerchantId, secret_hash: str) -> ItemKey:
    """A browser's session in the console, in its merchant's partition: the merchant's erasure takes it along."""
    return merchant(merchant_id), f"WEB#{secret_hash}"


def operator_session(secret_hash: str) -> ItemKey:
    """A browser's session of the operator in the console."""
    return f"OPERATOR#{secret_hash}", "WEB"


def console_sessions_ended(merchant_id: MerchantId) -> ItemKey:
    """Until when all sessions of a merchant were ended together."""
    return merchant(merchant_id), "WEBEND"


def portal_link(merchant_id: MerchantId, secret_hash: str) -> ItemKey:
    """A link into the console that can be used once."""
    return merchant(merchant_id), f"LINK#{secret_hash}"


def sign_ins(from_mac: str) -> ItemKey:
    """How often somebody asked to be signed in lately, by a keyed hash of their address."""
    return f"WEB#{from_mac}", "W"


def idempotent_requests(owner: str) -> str:
    """The partition of what one asker sent with an Idempotency-Key."""
    return f"X#{owner}"


def idempotency(owner: str, key_mac: str) -> ItemKey:
    """What is remembered of one Idempotency-Key, by its keyed hash."""
    return idempotent_requests(owner), key_mac


def data_key(version: int) -> ItemKey:
    """One version of the stage's data key. It is no merchant's: neither a list nor an erasure comes by."""
    return DATA_KEYS, f"{version:010d}"


def due_queue(kind: str, of_digest: str, shards: int) -> str:
    """The due index partition: kind and shard, ``C3``."""
    return f"{kind}{digest_bytes(of_digest)[0] % shards}"


def list_partition(merchant_id: MerchantId, kind: str, shard: int = 0) -> str:
    """The list index partition of a merchant's rows of a kind (``quarantine``), or of its checkouts in a status."""
    return f"{merchant_id}#{kind}#{shard}"


def owned(merchant_id: MerchantId, partition: str) -> dict[str, str]:
    """Index attributes of a row that hangs on nothing of its merchant's: its erasure finds it by them.

    They never change, so that the index is written once in the row's life.
    """
    shard = hashlib.sha256(partition.encode()).digest()[0] % OWNED_SHARDS
    return {"lp": list_partition(merchant_id, _OWNED, shard), "ls": partition}


def jobs_of(merchant_id: MerchantId) -> str:
    """The list index partition of a merchant's jobs, by their ids. A person asks for each, so one is enough."""
    return list_partition(merchant_id, _JOBS)


def owned_partitions(merchant_id: MerchantId) -> list[str]:
    """The list index partitions of such rows."""
    return [list_partition(merchant_id, _OWNED, shard) for shard in range(OWNED_SHARDS)]


def told_event(merchant_id: MerchantId, of_digest: str, place: str) -> dict[str, str]:
    """Index attributes of an event: its place among all that the merchant is told, the same for its whole life."""
    return {"lp": list_partition(merchant_id, _TOLD, digest_bytes(of_digest)[2] % EVENT_SHARDS), "ls": place}


def told_events(merchant_id: MerchantId) -> list[str]:
    """The list index partitions of a merchant's events. A checkout's events are all in one."""
    return [list_partition(merchant_id, _TOLD, shard) for shard in range(EVENT_SHARDS)]


def waiting_place(number: int) -> ItemKey:
    """One of the places of those who wait for an event."""
    return f"WP#{number}", "W"
