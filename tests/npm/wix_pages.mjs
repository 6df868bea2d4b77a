// Pages through abandoned checkouts with Wix' own client, there and back, reads one, notes an activity and deletes it:
// only the host is another. Arguments: host, token. Prints what it saw as JSON.
import { createClient, ApiKeyStrategy } from '@wix/sdk'
import { abandonedCheckouts } from '@wix/ecom'

const [, , apiBaseUrl, apiKey] = process.argv
const client = createClient({
  host: { apiBaseUrl },
  auth: ApiKeyStrategy({ apiKey, siteId: '00000000-0000-0000-0000-000000000001' }),
  modules: { abandonedCheckouts },
})
const own = client.abandonedCheckouts
const ids = (page) => page.items.map((item) => item._id)

let page = await own.queryAbandonedCheckouts().limit(50).find()
const forwards = [ids(page)]
while (page.hasNext()) forwards.push(ids((page = await page.next())))
const backwards = [ids(page)]
while (page.hasPrev()) backwards.push(ids((page = await page.prev())))

const [named] = forwards[0]
const read = await own.getAbandonedCheckout(named)
const noted = await own.addAbandonedCheckoutActivity(named, { activityType: 'EMAIL_SENT' })
const searched = await own.searchAbandonedCheckouts({ filter: { status: 'ABANDONED' }, cursorPaging: { limit: 10 } })
await own.deleteAbandonedCheckout(named)
const gone = await own.getAbandonedCheckout(named).then(() => null, (error) => error.details?.applicationError?.code)
console.log(JSON.stringify({
  forwards,
  backwards,
  named,
  gone,
  status: read.status,
  created: read._createdDate instanceof Date,
  activities: noted.abandonedCheckout.activities.map((activity) => activity.type),
  searched: searched.abandonedCheckouts.length,
}))
