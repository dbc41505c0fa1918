// step.mjs WORKFLOW JOB STEP: prints a script of Bash, which is what GitHub's runner makes of a step that has `run`: the
// job's `env`, without what only GitHub can fill in, and the command.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// The packages are not beside this file: NODE_PATH says where, and only `require` reads it.
const { load } = createRequire(import.meta.url)('js-yaml');

const [workflow, job, name] = process.argv.slice(2);
const { env, defaults, steps } = load(readFileSync(workflow, 'utf8')).jobs[job];
const step = steps.find((step) => step.name === name);
if (!step?.run) throw new Error(`the job ${job} of ${workflow} has no step "${name}" with a command`);
if (defaults.run.shell !== 'bash') throw new Error(`the steps of ${job} run without pipefail: name its shell`);
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const filled = Object.entries(env).filter(([, value]) => !value.includes('${{'));
console.log([...filled.map(([key, value]) => `export ${key}=${quoted(value)}`), step.run].join('\n'));
