//! The bounds that depend on each other, or on one of Kubernetes or Linux, in one place: the compiler holds
//! them against each other. PURE.
//!
//! A bound that nothing but its own file depends on stays in that file.

use std::time::Duration;

// What a run hands back.

/// How many containers of a run's Pod leave a termination message: those of a run with a rehearsal.
pub const CONTAINERS: usize = 5;
/// The most bytes of one termination message that Sluice writes.
pub const MESSAGE: usize = 2448;
/// The most bytes that Kubernetes keeps of one container's termination message.
const MESSAGE_OF_A_CONTAINER: usize = 4 * 1024;
/// The most bytes that it keeps of all containers of a Pod.
const MESSAGES_OF_A_POD: usize = 12 * 1024;
const _: () = assert!(MESSAGE <= MESSAGE_OF_A_CONTAINER);
const _: () = assert!(CONTAINERS * MESSAGE <= MESSAGES_OF_A_POD);

/// The most names of versions that a run is asked to answer for.
pub const REQUIRED_NAMES: usize = 16;
/// The most bytes of all of them.
pub const REQUIRED_BYTES: usize = 1024;
/// What JSON puts around one answer: its braces, its keys and the longer of its values.
const REQUIRED_AROUND: usize = "{\"version\":\"\",\"applied\":false},".len();
// The answers are never dropped from a message, and leave room for a verdict, a reason and a sentence.
const _: () = assert!(REQUIRED_BYTES + REQUIRED_NAMES * REQUIRED_AROUND + 512 <= MESSAGE);

// What a run is given.

/// The most bytes of a manifest as JSON: a stage gets it in one environment variable.
pub const MANIFEST: usize = 100 * 1024;
/// The most bytes of one environment variable on Linux (MAX_ARG_STRLEN).
const ENVIRONMENT_VARIABLE: usize = 128 * 1024;
/// What the defaults may add to a manifest that says nothing of them.
const DEFAULTS: usize = 16 * 1024;
const _: () = assert!(MANIFEST + DEFAULTS < ENVIRONMENT_VARIABLE);

// Who ends what, once the deadline of a run has passed.

/// How long PostgreSQL may take to cancel a statement; then its session is given up.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// How long a stage may take to tidy up and to say what happened.
pub const STAGE_GRACE: Duration = Duration::from_secs(10);
/// How long the containers of a Pod may take after they were told to stop, in seconds.
pub const POD_GRACE_SECONDS: i64 = 15;
/// How long a batch of a backfill may take to end after its process was told to stop.
pub const STOP_BATCH: Duration = Duration::from_secs(5);
/// How long the server may take after that to end the sessions of the process.
pub const STOP_SESSIONS: Duration = Duration::from_secs(8);
/// How much later than the deadline Kubernetes ends a Job whose stages did not end by themselves, in seconds.
pub const JOB_GRACE_SECONDS: i64 = 60;
const _: () = assert!(CANCEL_GRACE.as_secs() < STAGE_GRACE.as_secs());
const _: () = assert!(seconds(STAGE_GRACE) < POD_GRACE_SECONDS);
const _: () = assert!(POD_GRACE_SECONDS < JOB_GRACE_SECONDS);
const _: () = assert!(seconds(STOP_BATCH) + seconds(STOP_SESSIONS) < POD_GRACE_SECONDS);

/// How far apart the clocks of the controller's node and of the node of a run may be. What has to end at a moment
/// ends so much earlier by the clock of its own node.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

// When the other side of a connection to PostgreSQL counts as gone.

/// After this long without a word a keepalive is sent, and then one every as long.
pub const KEEPALIVE: Duration = Duration::from_secs(5);
/// So many keepalives without an answer end the connection.
pub const KEEPALIVES: u32 = 2;
/// How long what was sent may stay unacknowledged.
pub const USER_TIMEOUT: Duration = Duration::from_secs(15);
const _: () = assert!(USER_TIMEOUT.as_secs() == KEEPALIVE.as_secs() * (1 + KEEPALIVES as u64));

// Which of two controllers leads.

/// How long the lease of a leader lasts that no longer renews it, in seconds.
pub const LEASE_SECONDS: u64 = 10;
/// How long before its end a leader renews its lease, in seconds.
pub const RENEWAL_SECONDS: u64 = 4;
const _: () = assert!(2 * RENEWAL_SECONDS < LEASE_SECONDS);

// What the status keeps: one object of etcd has 1.5 MiB, with everything else in it.

/// How many runs the status remembers.
pub const REMEMBERED_RUNS: usize = 10;
/// How many findings it shows.
pub const SHOWN_FINDINGS: usize = 20;
/// How many sessions it names that kept a run from its locks.
pub const SHOWN_BLOCKERS: usize = 5;
/// How many applied migrations it names, the newest first.
pub const NAMED_MIGRATIONS: usize = 20;
/// How many versions of one DatabaseMigration a gate holds.
pub const GATE_VERSIONS: usize = 500;
/// The longest name of a migration, in bytes: the column `migration_name` is a `VARCHAR(255)`.
pub const MIGRATION_NAME: usize = 255;
/// The most bytes of one object that the API server stores.
const STORED_OBJECT: usize = 1536 * 1024;
// Several DatabaseMigrations share a gate, and the field managers of an object name its entries once more.
const _: () = assert!(2 * GATE_VERSIONS * MIGRATION_NAME < STORED_OBJECT / 4);
const _: () = assert!(NAMED_MIGRATIONS * MIGRATION_NAME < STORED_OBJECT / 4);

const fn seconds(duration: Duration) -> i64 {
    duration.as_secs().cast_signed()
}
