// The comparison that `measure` starts: Sluice with its defaults beside Prisma's engine, each on a server of its own.
import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const interop = join(here, '../interop/prisma')
const [scratch, ...given] = process.argv.slice(2)
const socket = (database) => join(scratch, database, 'socket')
const sluice = process.env.SLUICE_BINARY
const large = { encoding: 'utf8', maxBuffer: 1 << 30 }

process.env.PGOPTIONS = '-c client_min_messages=warning'
const psql = (database, sql, inside = database) =>
  execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', socket(database), '-d', inside, '-c', sql], large).trim()
const url = (database) => `postgres://postgres@localhost/${database}?host=${socket(database)}`

/** An empty database on a server that has no other, and no role but its owner's. */
function make(database) {
  for (const other of psql(database, "select quote_ident(datname) from pg_database where datname <> 'postgres' and not datistemplate", 'postgres').split('\n').filter(Boolean)) psql(database, `drop database ${other} with (force)`, 'postgres')
  for (const role of psql(database, "select quote_ident(rolname) from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres'", 'postgres').split('\n').filter(Boolean)) psql(database, `drop role ${role}`, 'postgres')
  psql(database, `create database ${database}`, 'postgres')
}

/** The same state on the other server, roles included. */
function copy(from, to) {
  make(to)
  const roles = execFileSync('pg_dumpall', ['-h', socket(from), '--roles-only'], large).split('\n')
  const sql = roles.filter((line) => !/ROLE postgres\b/.test(line)).join('\n') + execFileSync('pg_dump', ['-h', socket(from), '-d', from], large)
  execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', socket(to), '-d', to], { ...large, input: sql, stdio: ['pipe', 'ignore', 'inherit'] })
}

/** Applies what is pending, as `prisma migrate deploy` does. */
function prisma(database, folder) {
  const begun = process.hrtime.bigint()
  const done = spawnSync(interop, ['engine', url(database), folder, 'apply'], large)
  return { ok: done.status === 0, text: (done.stderr || done.stdout).trim(), seconds: since(begun) }
}

/** `sluice run` or `verify` with the smallest manifest, and what is added to its section `migrations` or `verify`. */
function sluiceRuns(verb, database, folder, { accept = [], verify = '' } = {}) {
  const manifest = join(scratch, 'manifest.yaml')
  const history = accept.length ? `\n    history: {accept: ${JSON.stringify(accept.map((name) => ({ name, reason: 'measured' })))}}` : ''
  writeFileSync(manifest, `apiVersion: sluice.dev/v1alpha1
kind: DatabaseMigration
metadata: {name: measured, namespace: measured}
spec:
  database: {secretRef: {name: measured}}
  migrations:
    configMaps: [measured]${history}
  snapshot: {none: {reason: a database made for a measurement}}
${verify}`)
  const begun = process.hrtime.bigint()
  const env = { ...process.env, DATABASE_URL: url(database) }
  const done = spawnSync(sluice, [verb, '-o', 'json', '-f', manifest, '--source', folder], { ...large, env })
  let status = {}
  try { status = JSON.parse(done.stdout) } catch { /* an error before there is a status: stderr says it */ }
  const ready = status.conditions?.find((condition) => condition.type === 'Ready')
  const text = ready ? `${ready.reason}: ${ready.message}` : done.stderr.trim()
  const findings = status.findings ?? []
  return { ok: done.status === 0, reason: ready?.reason ?? 'none', text, findings, seconds: since(begun) }
}

const since = (begun) => Number(process.hrtime.bigint() - begun) / 1e9

/** The schema as text, without what Sluice keeps beside it and without what differs from call to call. */
function schema(database) {
  const text = execFileSync('pg_dump', ['-h', socket(database), '--schema-only', '--no-comments', '-N', 'sluice', '-d', database], large)
  return text.split('\n').filter((line) => line && !/^(--|\\(un)?restrict|CREATE SCHEMA sluice)/.test(line)).join('\n')
}

/** Rows in each table, and what the history says. */
function rows(database) {
  const tables = psql(database, `select format('%I.%I', schemaname, tablename) from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema', 'sluice') and tablename <> '_prisma_migrations' order by 1`)
  const counts = tables.split('\n').filter(Boolean).map((table) => `select '${table.replaceAll("'", "''")}', count(*) from ${table}`)
  return counts.length ? psql(database, `${counts.join(' union all ')} order by 1`) : ''
}

const history = (database) => psql(database, `select case when to_regclass('public._prisma_migrations') is null then '' else 'x' end`) === 'x'
  ? psql(database, `select migration_name || ' ' || checksum from public._prisma_migrations where finished_at is not null and rolled_back_at is null order by 1`)
  : ''

function differs(one, other, what) {
  if (one === other) return null
  const [a, b] = [one.split('\n'), other.split('\n')]
  const [as, bs] = [new Set(a), new Set(b)]
  return `${what}: ${[...a.filter((line) => !bs.has(line)).map((line) => `-${line}`), ...b.filter((line) => !as.has(line)).map((line) => `+${line}`)].slice(0, 4).join(' ')}`
}

const compare = () => [['schema', schema], ['rows', rows], ['history', history]].map(([what, read]) => differs(read('by_sluice'), read('by_prisma'), what)).filter(Boolean)

function record(line) {
  console.log(JSON.stringify(line))
  if (process.env.OUT) appendFileSync(process.env.OUT, `${JSON.stringify(line)}\n`)
}

const count = (folder) => readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'migration.sql'))).length

/** One folder, from nothing, by both; then what Prisma made is looked at by Sluice, and compared with the files. */
function fresh(folder, name) {
  make('by_sluice'); make('by_prisma')
  const theirs = prisma('by_prisma', folder)
  const ours = sluiceRuns('run', 'by_sluice', folder)
  const adopted = theirs.ok ? sluiceRuns('run', 'by_prisma', folder) : null
  const drift = theirs.ok ? sluiceRuns('run', 'by_prisma', folder, { verify: '  verify: {drift: {}}\n' }) : null
  return {
    folder: name, migrations: count(folder), prisma: theirs.ok, sluice: ours.ok, adopts: adopted?.ok, drift: drift?.ok,
    differences: theirs.ok && ours.ok ? compare() : [],
    seconds: { prisma: theirs.seconds.toFixed(1), sluice: ours.seconds.toFixed(1) },
    said: [!theirs.ok && `prisma: ${theirs.text.slice(0, 300)}`, !ours.ok && `sluice: ${ours.text.slice(0, 400)}`,
      adopted && !adopted.ok && `adopting: ${adopted.text.slice(0, 400)}`, drift && !drift.ok && `drift: ${drift.text.slice(0, 600)}`].filter(Boolean),
  }
}

/** The edits that keep a run from going on. Others are told too, and need no person. */
const refusedEdits = (run) => run.findings.filter((finding) => finding.check === 'edited-migration' && finding.severity === 'Error').map((finding) => finding.object)

/** Every state of the folder that the first-parent line of a repository shows, one after the other, by both. */
function replay(repository, path) {
  const git = (...words) => execFileSync('git', ['-C', repository, ...words], large).trim()
  const commits = git('log', '--first-parent', '--reverse', '--format=%H', '--', path).split('\n')
  const name = basename(dirname(resolve(repository))).replace('+', '/')
  const tally = { folder: name, releases: 0, prismaDeploys: 0, sluiceDeploys: 0, withAccept: 0, accepted: 0, refused: [], prismaFails: 0, onlySluice: 0 }
  const accept = new Set()
  make('by_sluice'); make('by_prisma')
  for (const commit of commits) {
    const folder = join(scratch, 'tree', path)
    rmSync(join(scratch, 'tree'), { recursive: true, force: true })
    mkdirSync(join(scratch, 'tree'))
    try { execFileSync('bash', ['-o', 'pipefail', '-c', 'git -C "$1" archive "$2" -- "$3" | tar -x -C "$4"', 'sh', repository, commit, path, join(scratch, 'tree')], { stdio: 'ignore' }) } catch { continue }
    if (!existsSync(join(folder, 'migration_lock.toml')) || count(folder) === 0) continue
    tally.releases += 1
    const theirs = prisma('by_prisma', folder)
    let ours = sluiceRuns('run', 'by_sluice', folder, { accept: [...accept] })
    let names = []
    if (theirs.ok && !ours.ok) {
      names = refusedEdits(ours).filter((object) => !accept.has(object))
      for (let more = names; more.length && !ours.ok; ) {
        more.forEach((object) => accept.add(object))
        ours = sluiceRuns('run', 'by_sluice', folder, { accept: [...accept] })
        more = refusedEdits(ours).filter((object) => !accept.has(object))
        names.push(...more)
      }
    }
    const line = { folder: name, commit: commit.slice(0, 10), migrations: count(folder), prisma: theirs.ok, sluice: ours.ok }
    if (theirs.ok) {
      tally.prismaDeploys += 1
      if (ours.ok && names.length === 0) tally.sluiceDeploys += 1
      else if (ours.ok) { tally.withAccept += 1; tally.accepted += names.length }
      else tally.refused.push(`${commit.slice(0, 10)} ${ours.reason}`)
    } else {
      tally.prismaFails += 1
      if (ours.ok) tally.onlySluice += 1
    }
    const different = theirs.ok && ours.ok ? differs(history('by_sluice'), history('by_prisma'), 'history') : null
    if (!theirs.ok || !ours.ok || names.length || different) {
      record({ ...line, accepted: names, different, said: [!theirs.ok && `prisma: ${theirs.text.slice(0, 200)}`, !ours.ok && `sluice: ${ours.text.slice(0, 400)}`].filter(Boolean) })
    }
    // Both go on from the same state: the one that deployed, or the one before.
    if (theirs.ok && !ours.ok) copy('by_prisma', 'by_sluice')
    else if (!theirs.ok && ours.ok) copy('by_sluice', 'by_prisma')
    else if (!theirs.ok) psql('by_prisma', 'delete from _prisma_migrations where finished_at is null')
  }
  tally.differences = compare()
  return tally
}

const results = []
if (given[0] === '--history') {
  for (const argument of given.slice(1)) {
    const [repository, path] = argument.split(':')
    const result = replay(repository, path)
    results.push(result); record(result)
  }
  console.log('\n| folder | releases | Prisma deploys | Sluice, defaults | after `accept` | migrations accepted | refused | schema, rows, history |\n|---|---|---|---|---|---|---|---|')
  for (const r of results) console.log(`| ${r.folder} | ${r.releases} | ${r.prismaDeploys} | ${r.sluiceDeploys} | ${r.withAccept} | ${r.accepted} | ${r.refused.length} | ${r.differences.length ? r.differences.length + ' differ' : 'equal'} |`)
} else {
  for (const argument of given) {
    // A folder of a bare repository is written REPOSITORY:PATH and read at its newest commit.
    const [repository, path] = argument.includes(':') ? argument.split(':') : [null, argument]
    let folder = resolve(path), name = basename(dirname(folder))
    if (repository) {
      rmSync(join(scratch, 'tree'), { recursive: true, force: true }); mkdirSync(join(scratch, 'tree'))
      execFileSync('bash', ['-o', 'pipefail', '-c', 'git -C "$1" archive HEAD -- "$2" 2>/dev/null | tar -x -C "$3"', 'sh', repository, path, join(scratch, 'tree')])
      folder = join(scratch, 'tree', path); name = basename(dirname(resolve(repository))).replace('+', '/') + (path.includes('run-ops') ? '-run-ops' : '')
    }
    const result = fresh(folder, name)
    results.push(result); record(result)
  }
  console.log('\n| folder | migrations | Prisma | Sluice | adopts what Prisma made | drift clean | schema, rows, history | seconds Prisma | seconds Sluice |\n|---|---|---|---|---|---|---|---|---|')
  const word = (ok) => (ok === undefined ? '-' : ok ? 'yes' : 'no')
  for (const r of results) console.log(`| ${r.folder} | ${r.migrations} | ${word(r.prisma)} | ${word(r.sluice)} | ${word(r.adopts)} | ${word(r.drift)} | ${r.differences.length ? r.differences.length + ' differ' : r.prisma && r.sluice ? 'equal' : '-'} | ${r.seconds.prisma} | ${r.seconds.sluice} |`)
}
