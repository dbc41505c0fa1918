// The newest engine, as a library: what Prisma 7 would say and do, without its command-line tool, which cannot start without a download.
//
//   node engine.mjs diagnose | apply | applied NAME | rolled-back NAME
//
// The database and the folder come from INTEROP_DATABASE_URL and INTEROP_MIGRATIONS. Prints one line of JSON.
import { readFileSync, readdirSync, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import * as binding from '@prisma/schema-engine-wasm/schema_engine_bg'
import { Faithful } from './faithful.mjs'

const folder = process.env.INTEROP_MIGRATIONS
const filters = { externalTables: [], externalEnums: [] }

function migrationsList() {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  names.sort((a, b) => a.localeCompare(b))
  const lock = join(folder, 'migration_lock.toml')
  return {
    baseDir: folder,
    lockfile: { path: 'migration_lock.toml', content: existsSync(lock) ? readFileSync(lock, 'utf8') : null },
    shadowDbInitScript: '',
    migrationDirectories: names.map((path) => ({ path, migrationFile: { path: 'migration.sql', content: content(join(folder, path, 'migration.sql')) } })),
  }
}

function content(path) {
  return existsSync(path) ? { tag: 'ok', value: readFileSync(path, 'utf8') } : { tag: 'error', value: `no file ${path}` }
}

async function engine() {
  const module = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg')
  const bytes = readFileSync(join(dirname(module), 'schema_engine_bg.wasm'))
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': binding })
  binding.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
  const schema = readFileSync(new URL('schema.prisma', import.meta.url), 'utf8')
  const factory = bindMigrationAwareSqlAdapterFactory(new Faithful(process.env.INTEROP_DATABASE_URL))
  return binding.SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => {}, factory)
}

const verbs = {
  diagnose: (engine) => engine.diagnoseMigrationHistory({ migrationsList: migrationsList(), optInToShadowDatabase: false, filters }),
  apply: (engine) => engine.applyMigrations({ migrationsList: migrationsList(), filters }),
  applied: (engine, name) => engine.markMigrationApplied({ migrationsList: migrationsList(), migrationName: name }),
  'rolled-back': (engine, name) => engine.markMigrationRolledBack({ migrationName: name }),
}

const [verb, name] = process.argv.slice(2)
try {
  console.log(JSON.stringify((await verbs[verb](await engine(), name)) ?? null))
  process.exit(0)
} catch (error) {
  console.error(String(error.message ?? error))
  process.exit(1)
}
