// Prisma's engine gives itself ten seconds to get its lock and forgets the timer once it has it; the process would stay for the rest
// of them. A timer alone need not keep a process: a query that waits does.
const { setTimeout } = globalThis
globalThis.setTimeout = (callback, delay, ...rest) => {
  const timer = setTimeout(callback, delay, ...rest)
  return delay >= 10_000 ? timer.unref() : timer
}
