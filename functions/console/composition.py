"""What the console is made of, once per process: the merchant API's own pipeline, with sessions in place of tokens."""

from functools import cache, cached_property

from functions.merchant_api.pipeline import Pipeline
from functions.merchant_api.resolver import build
from functions.merchant_api.services import Services
from shared.api.authentication import Authenticator
from shared.api.console_sessions import SessionAuthenticator
from shared.aws.environment import Environment
from shared.aws.function_log import function_logger


class ConsoleServices(Services):
    """The API's services for whoever comes with a session."""

    @cached_property
    def authenticator(self) -> SessionAuthenticator:
        """Whose session it is."""
        return SessionAuthenticator(self.tokens, self.console_access, self.now)

    @cached_property
    def by_token(self) -> Authenticator:
        """Whose token it is, at sign-in. The admin key is none of the console's: it has no right to read it."""
        return Authenticator(self.tokens, str)


@cache
def services() -> ConsoleServices:
    """The process's services. Raises MissingVariable."""
    return ConsoleServices(Environment.read())


@cache
def pipeline() -> Pipeline:
    """The API as the console asks it."""
    logger = function_logger("console")
    return Pipeline(build(logger), services, logger)
