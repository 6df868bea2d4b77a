"""What the console is made of, once per process: the merchant API's own pipeline, with sessions in place of tokens."""

from functools import cache, cached_property
from typing import TYPE_CHECKING, cast

from functions.merchant_api.pipeline import Pipeline
from functions.merchant_api.resolver import Resolver, build
from functions.merchant_api.services import Services
from shared.api.authentication import Authenticator
from shared.api.console_sessions import AdminKey, SessionAuthenticator
from shared.aws import clients
from shared.aws.credential_cipher import CredentialCipher
from shared.aws.environment import Environment
from shared.aws.function_log import function_logger
from shared.aws.read_once import ReadOnce
from shared.aws.stage_keys import StageKeys
from shared.store.table import Table
from shared.workflows.insight.metrics import Metrics

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


class ConsoleServices(Services):
    """The API's services for whoever comes with a session."""

    @cached_property
    def authenticator(self) -> SessionAuthenticator:
        """Whose session it is."""
        return SessionAuthenticator(self.tokens, self.console_access, self.admin_key, self.now)

    @cached_property
    def admin_key(self) -> AdminKey:
        """What operators' sessions are bound to."""
        return AdminKey(self._admin_key, self._request_mac)

    def _request_mac(self, text: bytes) -> str:
        """Fetches the stage's keys at first need, and not for each merchant's session."""
        return self.keys.request_mac(text)

    @cached_property
    def by_token(self) -> Authenticator:
        """Whose token it is, at sign-in."""
        return Authenticator(self.tokens, str)


class PageServices(ConsoleServices):
    """The services for one page that is looked at: each row is read once, however often the page asks.

    Nothing of it is kept for the next page; what took a call to another service is the process's.
    """

    def __init__(self, process: ConsoleServices) -> None:
        """``process`` holds what is kept."""
        super().__init__(process.environment)
        self._process = process

    @cached_property
    def table(self) -> Table:
        """The table, read once."""
        once = cast("DynamoDBClient", ReadOnce(clients.dynamodb()))
        return self.table_over(once)

    @cached_property
    def metrics(self) -> Metrics:
        """Figures, each period summed once."""
        return Metrics(self.facts, self.now, remembers=True)

    @property
    def keys(self) -> StageKeys:  # type: ignore[override]
        """The process's."""
        return self._process.keys

    @property
    def admin_key(self) -> AdminKey:  # type: ignore[override]
        """The process's."""
        return self._process.admin_key

    @property
    def cipher(self) -> CredentialCipher:  # type: ignore[override]
        """The process's."""
        return self._process.cipher


@cache
def services() -> ConsoleServices:
    """The process's services. Raises MissingVariable."""
    return ConsoleServices(Environment.read())


def prepare() -> None:
    """Do ahead what the first page would wait for: all operations, keys, the table."""
    _resolver()
    services().connect()


def services_for(method: str) -> ConsoleServices:
    """The services of one request: what only looks reads each row once."""
    return PageServices(services()) if method == "GET" else services()


def pipeline(own: ConsoleServices) -> Pipeline:
    """The API as the console asks it in one request."""
    return Pipeline(_resolver(), lambda: own, function_logger("console"))


@cache
def _resolver() -> Resolver:
    return build(function_logger("console"))
