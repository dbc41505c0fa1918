//! From the manifest as written to the manifest as meant. PURE: no client, no pool, no clock.
//!
//! Code that holds a [`ValidatedMigration`] need not read the raw spec again: every choice in it is made,
//! every default filled in. All violations are reported at once.

mod bounds;
mod lint;
mod phases;
mod rehearsal;
mod rules;
mod window;

use std::borrow::Cow;

use crate::api::{
    Apply, Atomicity, Baseline, Blockers, Conventions, DatabaseMigration, DriftVerification,
    ForeignKeyVerification, Format, History, IndexVerification, Keep, OnMigrationFailure, OtherDatabase,
    QueryAssertion, ReadBack, Relation, Resolve, RowCounts, RowLevelSecurity, Snapshot, Span,
    TableVerification, Verify,
};
use crate::{limits::MANIFEST, policy::preset};
pub use bounds::violations as bound_violations;
pub use lint::Lint;
pub use phases::{CustomPhase, PhaseSource};
pub use rehearsal::{Rehearsal, RehearsalLimits};
pub use window::{Window, WindowState};

/// A manifest as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedMigration {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `default` where a file has none.
    pub namespace: String,
    /// The Secret and its key.
    pub secret: (String, String),
    /// The ConfigMap and the key of the authority that the server's certificate has to be of.
    pub authority: Option<(String, String)>,
    /// The schemas every check reads.
    pub schemas: Vec<String>,
    /// The schema of the history, where the manifest says.
    pub history_schema: Option<String>,
    /// How the folder is laid out.
    pub format: Format,
    /// Where the files are.
    pub source: Source,
    /// What runs beside the migrations, in order.
    pub phases: Vec<CustomPhase>,
    /// Where to stop.
    pub target: Option<String>,
    /// What is done where source and history differ.
    pub history: History,
    /// The folder may hold no migration.
    pub allow_empty: bool,
    /// Verdicts on failed rows.
    pub resolve: Vec<Resolve>,
    /// What an existing database already has.
    pub baseline: Option<Baseline>,
    /// Names that must be Ready first.
    pub depends_on: Vec<String>,
    /// When a run may begin that may change something.
    pub window: Option<Window>,
    /// What of a release warns, needs an approval or stops it.
    pub lint: Lint,
    /// A trial of the release on a copy; none where the manifest does not ask for it.
    pub rehearsal: Option<Rehearsal>,
    /// What is kept before anything changes.
    pub snapshot: SnapshotPolicy,
    /// What is one transaction.
    pub atomicity: Atomicity,
    /// Per attempt.
    pub lock_timeout: Span,
    /// Per table and transaction; no limit where the manifest sets none.
    pub lock_held: Option<Span>,
    /// What becomes of sessions that a migration waits for.
    pub blockers: Blockers,
    /// Per statement.
    pub statement_timeout: Span,
    /// Per run.
    pub deadline: Span,
    /// Per digest; no limit where the manifest sets none.
    pub attempts: Option<u32>,
    /// The log may quote rows.
    pub log_data: bool,
    /// How far a replica may be behind before a batch begins; any where it does not say.
    pub backfill_max_lag: Option<Span>,
    /// Tenant isolation.
    pub row_level_security: Option<RowLevelSecurity>,
    /// Index checks.
    pub indexes: IndexVerification,
    /// What else is checked.
    pub assertions: Assertions,
    /// The schema is what its migrations make.
    pub drift: Option<DriftVerification>,
    /// How long a verification holds.
    pub verify_every: Option<Span>,
    /// What a failure does.
    pub on_failure: OnMigrationFailure,
    /// Start nothing new.
    pub suspend: bool,
}

/// What the schema and its rows must be, beyond isolation and indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assertions {
    /// Foreign keys.
    pub foreign_keys: ForeignKeyVerification,
    /// Tables, columns and enums.
    pub tables: TableVerification,
    /// Names, and what every table has.
    pub conventions: Option<Conventions>,
    /// Queries with the results they must have.
    pub queries: Vec<QueryAssertion>,
    /// How many rows tables have.
    pub row_counts: RowCounts,
    /// Relations without a foreign key.
    pub orphans: Vec<Relation>,
}

impl Assertions {
    fn of(verify: &Verify) -> Self {
        Self {
            foreign_keys: verify.foreign_keys.clone().unwrap_or_default(),
            tables: verify.tables.clone().unwrap_or_default(),
            conventions: verify.conventions.as_ref().map(preset::spelled_out),
            queries: verify.queries.clone(),
            row_counts: verify.row_counts.clone().unwrap_or_default(),
            orphans: verify.orphans.clone(),
        }
    }
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// These ConfigMaps together.
    ConfigMaps(Vec<String>),
    /// This folder of an image.
    Image {
        /// Its reference.
        reference: String,
        /// The folder, without a leading slash; empty for the root.
        path: String,
    },
}

/// How old the snapshot of an earlier attempt may be, where the manifest does not say. Longer than the pauses between
/// attempts, and short beside what people put up with losing when they restore one.
const SNAPSHOT_MAX_AGE: Span = Span::from_secs(3600);

/// What is kept before anything changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotPolicy {
    /// A dump on a claim.
    Dump {
        /// The PersistentVolumeClaim.
        claim: String,
        /// Tables at once.
        jobs: u32,
        /// How it is proven.
        read_back: ReadBack,
        /// Which older ones stay.
        keep: Option<Keep>,
        /// How old the one of an earlier attempt may be that is used again.
        max_age: Span,
    },
    /// None, for this reason.
    Waived(String),
}

/// One contradiction or gap of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Violation {
    /// The field's path.
    pub field: Cow<'static, str>,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

/// Reads a manifest as meant, or says everything that is wrong with it.
pub fn validate(object: &DatabaseMigration) -> Result<ValidatedMigration, Vec<Violation>> {
    let spec = &object.spec;
    let mut violations = Vec::new();
    check_policy(object, &mut violations);
    let source = source(object, &mut violations);
    let snapshot = snapshot(spec.snapshot.as_ref(), &mut violations);
    check_apply(&spec.apply, &mut violations);
    check_tenancy(spec.verify.row_level_security.as_ref(), &mut violations);
    check_queries(&spec.verify, &mut violations);
    check_elsewhere(&spec.verify, &mut violations);
    check_interval(spec.verify.every, &mut violations);
    check_dependencies(object, &mut violations);
    check_size(object, &mut violations);
    check_names(object, &mut violations);
    violations.extend(bounds::violations(spec));
    violations.extend(rules::violations(spec));
    let phases = phases::phases(&spec.migrations, &mut violations);
    let window = spec.before.window.as_ref().and_then(|window| Window::read(window, &mut violations));
    let lint = lint::read(spec.before.lint.as_ref(), &mut violations);
    let rehearsal = rehearsal::read(spec.before.rehearsal.as_ref(), snapshot.as_ref(), &mut violations);
    match (source, snapshot) {
        (Some(source), Some(snapshot)) if violations.is_empty() => Ok(ValidatedMigration {
            name: object.metadata.name.clone().unwrap_or_default(),
            namespace: object.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            secret: (spec.database.secret_ref.name.clone(), spec.database.secret_ref.key.clone()),
            authority: spec
                .database
                .tls
                .as_ref()
                .map(|tls| (tls.ca_from.config_map.clone(), tls.ca_from.key.clone())),
            schemas: spec.database.schemas.clone(),
            history_schema: spec.database.history_schema.clone(),
            format: spec.migrations.format,
            source,
            phases,
            target: spec.migrations.target.clone(),
            history: spec.migrations.history.clone(),
            allow_empty: spec.migrations.allow_empty,
            resolve: spec.migrations.resolve.clone(),
            baseline: spec.migrations.baseline.clone(),
            depends_on: spec.before.depends_on.iter().map(|dependency| dependency.name.clone()).collect(),
            window,
            lint,
            rehearsal,
            snapshot,
            atomicity: spec.apply.atomicity,
            lock_timeout: spec.apply.lock_timeout,
            lock_held: spec.apply.lock_held,
            blockers: spec.apply.blockers.unwrap_or_default(),
            statement_timeout: spec.apply.statement_timeout,
            deadline: spec.apply.deadline,
            attempts: spec.apply.attempts,
            log_data: spec.apply.log_data,
            backfill_max_lag: spec.apply.backfill.and_then(|limits| limits.max_lag),
            row_level_security: spec.verify.row_level_security.clone(),
            indexes: spec.verify.indexes.clone(),
            assertions: Assertions::of(&spec.verify),
            drift: spec.verify.drift.clone(),
            verify_every: spec.verify.every,
            on_failure: spec.on_failure.migration,
            suspend: spec.suspend,
        }),
        _ => Err(violations),
    }
}

fn source(object: &DatabaseMigration, violations: &mut Vec<Violation>) -> Option<Source> {
    let migrations = &object.spec.migrations;
    match (&migrations.image, migrations.config_maps.as_slice()) {
        (None, names @ [_, ..]) => Some(Source::ConfigMaps(names.to_vec())),
        (Some(reference), []) => Some(Source::Image {
            reference: reference.clone(),
            path: migrations.path.as_deref().unwrap_or("/").trim_matches('/').to_owned(),
        }),
        _ => {
            let problem = "needs exactly one source: either image or configMaps".to_owned();
            violations.push(Violation { field: "spec.migrations".into(), problem });
            None
        }
    }
}

fn snapshot(snapshot: Option<&Snapshot>, violations: &mut Vec<Violation>) -> Option<SnapshotPolicy> {
    let (dump, none) =
        snapshot.map_or((None, None), |snapshot| (snapshot.dump.as_ref(), snapshot.none.as_ref()));
    match (snapshot, dump, none) {
        (Some(snapshot), Some(dump), None) if !dump.volume_claim.is_empty() => Some(SnapshotPolicy::Dump {
            claim: dump.volume_claim.clone(),
            jobs: dump.jobs,
            read_back: snapshot.verify,
            keep: snapshot.keep.clone(),
            max_age: snapshot.max_age.unwrap_or(SNAPSHOT_MAX_AGE),
        }),
        (_, None, Some(waiver)) => Some(SnapshotPolicy::Waived(waiver.reason.clone())),
        _ => {
            let problem =
                "say where the snapshot goes (dump.volumeClaim), or that there is none and why (none.reason)"
                    .to_owned();
            violations.push(Violation { field: "spec.snapshot".into(), problem });
            None
        }
    }
}

/// The merge takes the reference out: a manifest that still has it would pass without what its policy asks
/// for.
fn check_policy(object: &DatabaseMigration, violations: &mut Vec<Violation>) {
    if let Some(policy) = &object.spec.policy_ref {
        let problem = format!(
            "the MigrationPolicy {:?} was not given, so Sluice cannot say what is in force: give it too",
            policy.name
        );
        violations.push(Violation { field: "spec.policyRef".into(), problem });
    }
}

fn check_tenancy(security: Option<&RowLevelSecurity>, violations: &mut Vec<Violation>) {
    let Some(RowLevelSecurity { app_role, tenant, .. }) = security else { return };
    let texts =
        [("appRole", app_role), ("tenant.column", &tenant.column), ("tenant.setting", &tenant.setting)];
    let missing: Vec<&str> =
        texts.into_iter().filter(|(_, text)| text.is_empty()).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        let problem = format!("needs {} too", missing.join(" and "));
        violations.push(Violation { field: "spec.verify.rowLevelSecurity".into(), problem });
    }
}

fn check_apply(apply: &Apply, violations: &mut Vec<Violation>) {
    if apply.deadline.duration().as_secs() < 10 {
        let problem = format!("{} is too short for a snapshot and a migration: at least 10s", apply.deadline);
        violations.push(Violation { field: "spec.apply.deadline".into(), problem });
    }
    if apply.lock_timeout.duration().is_zero() {
        let problem =
            "must not be 0: PostgreSQL reads it as \"wait for ever\", and every reader would wait too"
                .to_owned();
        violations.push(Violation { field: "spec.apply.lockTimeout".into(), problem });
    }
    if let Some(held) = apply.lock_held.filter(|held| held.duration().as_millis() < 100) {
        let problem = format!("is {held}: it must be at least 100ms; leave it out to set no limit");
        violations.push(Violation { field: "spec.apply.lockHeld".into(), problem });
    }
    if let Some(blockers) = apply.blockers.filter(|blockers| blockers.after.duration().as_secs() < 1) {
        let problem = format!("is {}: it must be at least 1s", blockers.after);
        violations.push(Violation { field: "spec.apply.blockers.after".into(), problem });
    }
    let max_lag = apply.backfill.and_then(|limits| limits.max_lag);
    if max_lag.is_some_and(|lag| lag.duration().is_zero()) {
        let problem = "must be more than 0s: a replica always has a moment left to replay".to_owned();
        violations.push(Violation { field: "spec.apply.backfill.maxLag".into(), problem });
    }
}

fn check_queries(verify: &Verify, violations: &mut Vec<Violation>) {
    for query in &verify.queries {
        let millis = query.timeout.duration().as_millis();
        if !(1..=600_000).contains(&millis) {
            let problem = format!(
                "the timeout of {:?} is {}: it must be more than 0 and at most 10m",
                query.name, query.timeout
            );
            violations.push(Violation { field: "spec.verify.queries".into(), problem });
        }
    }
}

/// The name of another database is also that of its environment variable, so it stands for one Secret.
fn check_elsewhere(verify: &Verify, violations: &mut Vec<Violation>) {
    let others = || verify.orphans.iter().filter_map(|relation| relation.database.as_ref());
    let differs = |one: &&OtherDatabase| {
        others().any(|other| other.variable() == one.variable() && other.secret_ref != one.secret_ref)
    };
    if let Some(other) = others().find(differs) {
        let problem = format!(
            "the database {:?} has two different secretRefs: give each database a name of its own",
            other.name
        );
        violations.push(Violation { field: "spec.verify.orphans".into(), problem });
    }
}

fn check_interval(every: Option<Span>, violations: &mut Vec<Violation>) {
    if let Some(every) = every.filter(|every| every.duration().as_secs() < 10) {
        let problem = format!("{every} is too short: each time is a Pod, so at least 10s, and rather hours");
        violations.push(Violation { field: "spec.verify.every".into(), problem });
    }
}

fn check_size(object: &DatabaseMigration, violations: &mut Vec<Violation>) {
    let size = serde_json::to_string(&object.spec).map_or(0, |text| text.len());
    if size > MANIFEST {
        let problem = format!(
            "has {size} bytes as JSON, and {MANIFEST} is the most that a stage can be given: make its lists \
                shorter"
        );
        violations.push(Violation { field: "spec".into(), problem });
    }
}

/// As the API server has names; in a file they could be anything, and a snapshot's folder is called after
/// them.
fn check_names(object: &DatabaseMigration, violations: &mut Vec<Violation>) {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if name.len() > 45 {
        let problem = "may have at most 45 characters: Jobs and annotations are named after it".to_owned();
        violations.push(Violation { field: "metadata.name".into(), problem });
    }
    if !name.split('.').all(is_label) {
        let problem = format!("{name:?} is no name: lower-case letters, digits, inner dashes and dots");
        violations.push(Violation { field: "metadata.name".into(), problem });
    }
    if let Some(namespace) =
        object.metadata.namespace.as_deref().filter(|name| name.len() > 63 || !is_label(name))
    {
        let problem = format!(
            "{namespace:?} is no name of a namespace: at most 63 lower-case letters, digits and inner dashes"
        );
        violations.push(Violation { field: "metadata.namespace".into(), problem });
    }
}

fn check_dependencies(object: &DatabaseMigration, violations: &mut Vec<Violation>) {
    let own = object.metadata.name.as_deref().unwrap_or_default();
    if object.spec.before.depends_on.iter().any(|dependency| dependency.name == own) {
        let problem = format!("{own:?} cannot depend on itself");
        violations.push(Violation { field: "spec.before.dependsOn".into(), problem });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    type Change = fn(&mut Value);

    fn manifest(change: impl FnOnce(&mut Value)) -> DatabaseMigration {
        let mut object = json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": "records", "namespace": "clinic"},
            "spec": {
                "database": {"secretRef": {"name": "records-db"}},
                "migrations": {"configMaps": ["records-migrations"]},
                "snapshot": {"dump": {"volumeClaim": "snapshots"}},
            },
        });
        change(&mut object["spec"]);
        serde_json::from_value(object).expect("a manifest")
    }

    #[test]
    fn each_contradiction_is_told_with_its_field_and_the_whole_is_accepted_without_it() {
        assert!(validate(&manifest(|_| {})).is_ok());
        let cases: [(&str, &str, Change); 13] = [
            ("spec.policyRef", "\"house\" was not given", |spec| {
                spec["policyRef"] = json!({"name": "house"});
            }),
            ("spec.snapshot", "dump.volumeClaim", |spec| spec["snapshot"] = json!({"dump": {"jobs": 2}})),
            ("spec.verify.rowLevelSecurity", "needs tenant.column and tenant.setting too", |spec| {
                spec["verify"] = json!({"rowLevelSecurity": {"appRole": "app"}});
            }),
            ("spec.verify.every", "at least 10s", |spec| spec["verify"] = json!({"every": "9s"})),
            ("spec.migrations", "exactly one source", |spec| spec["migrations"] = json!({})),
            ("spec.migrations", "exactly one source", |spec| {
                spec["migrations"]["image"] = json!("records:1");
            }),
            ("spec.snapshot", "dump.volumeClaim", |spec| spec["snapshot"] = json!({})),
            ("spec.apply.deadline", "at least 10s", |spec| spec["apply"] = json!({"deadline": "9s"})),
            ("spec.apply.lockTimeout", "must not be 0", |spec| spec["apply"] = json!({"lockTimeout": "0s"})),
            ("spec.verify.queries", "at most 10m", |spec| {
                spec["verify"] = json!({"queries": [{"name": "q", "sql": "SELECT 1", "timeout": "0s"}]});
            }),
            ("spec.verify.orphans", "two different secretRefs", |spec| {
                let relation = |secret: &str| {
                    json!({"table": "t", "columns": ["a"], "references": "u", "referencedColumns": ["id"],
                           "database": {"name": "other", "secretRef": {"name": secret}}})
                };
                spec["verify"] = json!({"orphans": [relation("one"), relation("two")]});
            }),
            ("spec.before.dependsOn", "depend on itself", |spec| {
                spec["before"] = json!({"dependsOn": [{"name": "records"}]});
            }),
            ("spec", "is the most", |spec| {
                let query = |n: usize| json!({"name": format!("q{n}"), "sql": "s".repeat(9000)});
                spec["verify"] = json!({"queries": (0..15).map(query).collect::<Vec<_>>()});
            }),
        ];
        for (field, part, change) in cases {
            let violations = validate(&manifest(change)).expect_err(part);
            let told: Vec<_> = violations.iter().map(ToString::to_string).collect();
            assert!(
                violations.len() == 1 && violations[0].field == field && told[0].contains(part),
                "{field}: {told:?}"
            );
        }
    }
}
