"""What an endpoint would be sent about a stored checkout, while its template is written."""

import json
from typing import Any

from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_checkouts import checkout

URL = "https://bsp.example.com/hooks"


def test_what_an_endpoint_would_be_sent_about_a_checkout_holds_no_secret(merchant: Api) -> None:
    """The token of AiSensy stands in its body."""
    stored = checkout(merchant, "1", customer__phone="+919876543210")
    secret = "a-token-that-nobody-may-see"
    settings = {"bearer_token": secret, "template": {"campaign": "back", "body": ["{{ total }}"]}}
    made = merchant("POST", "/v1/endpoints", {"kind": "aisensy", "settings": settings})
    assert made.status == 201, made.text
    path = f"/v1/endpoints/{made.json['id']}/preview"

    shown = merchant("POST", path, {"checkout_id": f"chk_{stored.digest}"})

    assert shown.status == 200, shown.text
    assert secret not in shown.text
    body = json.loads(shown.json["body"])
    assert (body["apiKey"], body["campaignName"]) == ("***", "back")
    assert "9876543210" in body["destination"]
    other = {"template": {"campaign": "other", "body": []}}
    drafted = merchant("POST", path, {"checkout_id": f"chk_{stored.digest}", "settings": other}).json
    assert json.loads(drafted["body"])["campaignName"] == "other"
    assert merchant("GET", f"/v1/endpoints/{made.json['id']}").json["settings"]["template"]["campaign"] == "back"


def test_a_webhooks_body_is_shown_as_its_template_makes_it(merchant: Api, operator: Api) -> None:
    stored = checkout(merchant, "1", customer__first_name="Asha")
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json
    path, asked = f"/v1/endpoints/{made['id']}/preview", {"checkout_id": f"chk_{stored.digest}"}

    def shown(payload: Any) -> Any:
        return merchant("POST", path, {**asked, "settings": {"payload": payload}})

    plain = merchant("POST", path, asked).json
    assert json.loads(plain["body"])["data"]["checkout"]["id"] == asked["checkout_id"]
    assert plain["content_type"] == "application/json"
    assert shown({"liquid": '{"hi": {{ first_name | json }}}'}).json["body"] == '{"hi":"Asha"}'
    assert shown("provider").json == {"body": None, "content_type": None, "reason": "provider_payload"}
    for wrong in ("{{", "no json", "{{ nothing.of.the.kind }}"):
        assert shown({"liquid": wrong}).json["errors"][0]["pointer"] == "/settings/payload/liquid"
    gone = merchant("POST", path, {"checkout_id": "chk_x"})
    assert (gone.status, gone.json["errors"][0]["pointer"]) == (422, "/checkout_id")
    neighbour = operator.as_(new_merchant(operator)["token"])
    theirs = neighbour("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json["id"]
    assert neighbour("POST", f"/v1/endpoints/{theirs}/preview", asked).status == 422
