// The configuration of Prisma's command-line tool. The database and the folder come from the environment.
import { defineConfig } from 'prisma/config'
import { Faithful } from './faithful.mjs'

export default defineConfig({
  experimental: { adapter: true },
  engine: 'js',
  schema: './schema.prisma',
  migrations: { path: process.env.INTEROP_MIGRATIONS },
  adapter: async () => new Faithful(process.env.INTEROP_DATABASE_URL),
})
