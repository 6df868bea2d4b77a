"""What abandoned checkouts are read by, of Shopify's GraphQL Admin API: names and types as Shopify has them.

https://shopify.dev/docs/api/admin-graphql/latest/objects/AbandonedCheckout. Countries and currencies are scalars here:
their enums would be most of the schema.
"""

from functools import cache
from typing import Final

from graphql import GraphQLSchema, build_schema

SDL: Final = """
schema {
  query: QueryRoot
}

scalar DateTime
scalar Decimal
scalar URL
scalar CountryCode
scalar CurrencyCode

interface Node {
  id: ID!
}

interface Navigable {
  defaultCursor: String!
}

type QueryRoot {
  abandonedCheckouts(
    first: Int
    after: String
    last: Int
    before: String
    reverse: Boolean = false
    sortKey: AbandonedCheckoutSortKeys = ID
    query: String
    savedSearchId: ID
  ): AbandonedCheckoutConnection!
  abandonedCheckoutsCount(query: String, savedSearchId: ID, limit: Int = 10000): Count
  node(id: ID!): Node
  shop: Shop!
}

enum AbandonedCheckoutSortKeys {
  CHECKOUT_ID
  CREATED_AT
  CUSTOMER_NAME
  ID
  RELEVANCE
  TOTAL_PRICE
}

enum CountPrecision {
  AT_LEAST
  EXACT
}

type Count {
  count: Int!
  precision: CountPrecision!
}

type Shop {
  name: String!
  currencyCode: CurrencyCode!
  ianaTimezone: String!
}

type PageInfo {
  endCursor: String
  hasNextPage: Boolean!
  hasPreviousPage: Boolean!
  startCursor: String
}

type AbandonedCheckoutConnection {
  edges: [AbandonedCheckoutEdge!]!
  nodes: [AbandonedCheckout!]!
  pageInfo: PageInfo!
}

type AbandonedCheckoutEdge {
  cursor: String!
  node: AbandonedCheckout!
}

type AbandonedCheckout implements Node & Navigable {
  abandonedCheckoutUrl: URL!
  billingAddress: MailingAddress
  completedAt: DateTime
  createdAt: DateTime!
  customAttributes: [Attribute!]!
  customer: Customer
  defaultCursor: String!
  discountCodes: [String!]!
  id: ID!
  lineItems(
    first: Int
    after: String
    last: Int
    before: String
    reverse: Boolean = false
  ): AbandonedCheckoutLineItemConnection!
  lineItemsQuantity: Int! @deprecated(reason: "Use `lineItems` instead.")
  name: String!
  note: String!
  shippingAddress: MailingAddress
  subtotalPriceSet: MoneyBag!
  taxesIncluded: Boolean!
  taxLines: [TaxLine!]!
  totalDiscountSet: MoneyBag!
  totalDutiesSet: MoneyBag
  totalLineItemsPriceSet: MoneyBag!
  totalPriceSet: MoneyBag!
  totalTaxSet: MoneyBag
  updatedAt: DateTime!
}

type AbandonedCheckoutLineItemConnection {
  edges: [AbandonedCheckoutLineItemEdge!]!
  nodes: [AbandonedCheckoutLineItem!]!
  pageInfo: PageInfo!
}

type AbandonedCheckoutLineItemEdge {
  cursor: String!
  node: AbandonedCheckoutLineItem!
}

type AbandonedCheckoutLineItem implements Node {
  customAttributes: [Attribute!]!
  discountedTotalPriceSet: MoneyBag!
  discountedUnitPriceSet: MoneyBag!
  id: ID!
  image: Image
  originalTotalPriceSet: MoneyBag!
  originalUnitPriceSet: MoneyBag!
  product: Product
  quantity: Int!
  sku: String
  title: String
  variant: ProductVariant
  variantTitle: String
}

type Attribute {
  key: String!
  value: String
}

type Image {
  altText: String
  url: URL!
}

type Product implements Node {
  handle: String!
  id: ID!
  title: String!
}

type ProductVariant implements Node {
  id: ID!
  sku: String
  title: String!
}

type MoneyBag {
  presentmentMoney: MoneyV2!
  shopMoney: MoneyV2!
}

type MoneyV2 {
  amount: Decimal!
  currencyCode: CurrencyCode!
}

type TaxLine {
  priceSet: MoneyBag!
  rate: Float
  ratePercentage: Float
  title: String!
}

type CustomerEmailAddress {
  emailAddress: String!
}

type CustomerPhoneNumber {
  phoneNumber: String!
}

type Customer implements Node {
  defaultEmailAddress: CustomerEmailAddress
  defaultPhoneNumber: CustomerPhoneNumber
  displayName: String!
  email: String @deprecated(reason: "Use `defaultEmailAddress.emailAddress` instead.")
  firstName: String
  id: ID!
  lastName: String
  locale: String!
  phone: String @deprecated(reason: "Use `defaultPhoneNumber.phoneNumber` instead.")
}

type MailingAddress implements Node {
  address1: String
  address2: String
  city: String
  company: String
  country: String
  countryCodeV2: CountryCode
  firstName: String
  formatted: [String!]!
  formattedArea: String
  id: ID!
  lastName: String
  name: String
  phone: String
  province: String
  provinceCode: String
  zip: String
}
"""


@cache
def schema() -> GraphQLSchema:
    """The schema; made once per process."""
    return build_schema(SDL, assume_valid=True, no_location=True)
