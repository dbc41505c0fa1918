// A connection for Prisma's engine that runs a migration as Prisma's native engines up to 7.3 do: the whole file in one simple
// query. The adapter as it is published splits at every semicolon, also inside a function's body.
import { PrismaPg } from '@prisma/adapter-pg'

export class Faithful extends PrismaPg {
  constructor(connectionString) {
    // Without allowExitOnIdle the pool keeps the process for ten seconds after the last query.
    super({ connectionString, max: 1, allowExitOnIdle: true })
  }

  async connect() {
    const adapter = await super.connect()
    adapter.executeScript = async function (script) {
      try {
        await this.client.query(script)
      } catch (error) {
        this.onError(error)
      }
    }
    return adapter
  }
}
