// What `openapi-typescript` makes of the API's description, used: the compiler says whether it fits.
import type { components, operations, webhooks } from "./api";

type Body<Operation extends { requestBody?: { content: { "application/json": unknown } } }> = NonNullable<
  Operation["requestBody"]
>["content"]["application/json"];

export const source: Body<operations["createSource"]> = { provider: "flexype", name: "Tea House" };
export const endpoint: Body<operations["createEndpoint"]> = {
  kind: "webhook",
  url: "https://bsp.example.com/hooks",
  event_types: ["checkout.abandoned"],
};

export function outcomes(delivery: operations["readDelivery"]["responses"][200]["content"]["application/json"]): string[] {
  return delivery.attempts.map((attempt) => `${attempt.at} ${attempt.outcome} ${attempt.status_code ?? "no answer"}`);
}

export function link(event: Body<webhooks["checkout.recovered"]["post"]>): string | null {
  return event.data.checkout.recovery_url;
}

export const status: components["schemas"]["Checkout"]["status"] = "abandoned";
// @ts-expect-error: no checkout has this status
export const none: components["schemas"]["Checkout"]["status"] = "gone";
