"""Which requests reach which function."""

from collections.abc import Mapping, Sequence

from aws_cdk.aws_apigatewayv2 import HttpMethod

from infra.functions import FunctionName

ROUTES: Mapping[FunctionName, Sequence[tuple[HttpMethod, str]]] = {
    "ingest": ((HttpMethod.POST, "/hooks/{source_id}"), (HttpMethod.POST, "/hooks/{source_id}/{event}")),
    "merchant_api": (
        (HttpMethod.ANY, "/v1/{proxy+}"),
        (HttpMethod.GET, "/healthz"),
        (HttpMethod.GET, "/openapi.json"),
        (HttpMethod.GET, "/docs"),
    ),
    "callbacks": (
        (HttpMethod.GET, "/callbacks/{endpoint_id}"),
        (HttpMethod.POST, "/callbacks/{endpoint_id}"),
    ),
    "redirect": (
        (HttpMethod.GET, "/r/{code}"),
        (HttpMethod.HEAD, "/r/{code}"),
        (HttpMethod.GET, "/u/{code}"),
        (HttpMethod.HEAD, "/u/{code}"),
        (HttpMethod.POST, "/u/{code}"),
    ),
    "reading": (
        (HttpMethod.POST, "/admin/api/{version}/graphql.json"),
        (HttpMethod.GET, "/ecom/v1/abandoned-checkout/{id}"),
        (HttpMethod.DELETE, "/ecom/v1/abandoned-checkout/{id}"),
        (HttpMethod.POST, "/ecom/v1/abandoned-checkout/query"),
        (HttpMethod.POST, "/ecom/v1/abandoned-checkout/search"),
        (HttpMethod.POST, "/ecom/v1/abandoned-checkout/{id}/activities"),
        (HttpMethod.POST, "/ecom/v1/abandoned-checkouts/{id}/add-activity"),
    ),
    "console": ((HttpMethod.ANY, "/console"), (HttpMethod.ANY, "/console/{proxy+}")),
}
