// Pages through abandoned checkouts with Shopify's own client, forwards and backwards: only the host is another.
// Arguments: host, token. Prints {"forwards": [[id, ...], ...], "backwards": ...} as JSON.
import { createAdminApiClient } from '@shopify/admin-api-client'

const [, , storeDomain, accessToken] = process.argv
const client = createAdminApiClient({ storeDomain, apiVersion: '2026-04', accessToken })
const QUERY = `query ($first: Int, $after: String, $last: Int, $before: String) {
  abandonedCheckouts(first: $first, after: $after, last: $last, before: $before) {
    nodes { id totalPriceSet { shopMoney { amount currencyCode } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}`

async function walked(size, place, more, cursor) {
  const pages = []
  let at = null
  do {
    const { data, errors } = await client.request(QUERY, { variables: { [size]: 50, [place]: at } })
    if (errors) throw new Error(JSON.stringify(errors))
    const { nodes, pageInfo } = data.abandonedCheckouts
    pages.push(nodes.map((node) => node.id))
    at = pageInfo[more] ? pageInfo[cursor] : null
  } while (at)
  return pages
}

console.log(JSON.stringify({
  forwards: await walked('first', 'after', 'hasNextPage', 'endCursor'),
  backwards: await walked('last', 'before', 'hasPreviousPage', 'startCursor'),
}))
