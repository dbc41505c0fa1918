//! The kinds of evidence, each a pure function of a report and a status. Nothing is proven by silence.

use std::time::Duration;

use serde::Deserialize;

use super::{Piece, Proven, Subject};
use crate::{
    api::{CheckId, Finding, ReadBack, Reason, RunStatus, Severity},
    report::{CheckResult, CheckVerdict, Isolation, Report, Table, TableKind, count::count},
};

/// One kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A check that passed.
    Check(&'static CheckId),
    /// Row-level security, counted table by table.
    Tables,
    /// A table that records who did what, which the manifest requires.
    AuditTable,
    /// A query of the manifest's own, whose name begins with this word and a colon.
    Query(&'static str),
    /// A snapshot that was taken, and of which every byte was read back.
    Snapshot,
    /// A verification that is repeated.
    Repeated,
}

/// What proves a duty: several proofs that belong together, as a regime names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grounds {
    /// What tells that tenants are kept apart: the catalog first, and then the application's own role trying.
    Isolation,
    /// What tells that the schema is the one that was meant, and that every change of it is on record.
    Changes,
    /// What tells that references lead somewhere.
    Sound,
    /// What tells that an auditor can find out who did what.
    Audit,
    /// What tells that what was written cannot be changed unseen.
    Unalterable,
    /// What tells that nothing goes before its time.
    Retention,
    /// What tells that the data can be brought back.
    Recovery,
    /// What tells that this is verified again and again.
    Repeated,
}

impl Grounds {
    pub(super) const fn proofs(self) -> &'static [Proof] {
        match self {
            Self::Isolation => ISOLATION,
            Self::Changes => CHANGES,
            Self::Sound => SOUND,
            Self::Audit => AUDIT,
            Self::Unalterable => UNALTERABLE,
            Self::Retention => RETENTION,
            Self::Recovery => RECOVERY,
            Self::Repeated => REPEATED,
        }
    }
}

const ISOLATION: &[Proof] = &[
    Proof::Tables,
    Proof::Check(&CheckId::RlsRole),
    Proof::Check(&CheckId::RlsEnabled),
    Proof::Check(&CheckId::RlsForced),
    Proof::Check(&CheckId::RlsPolicies),
    Proof::Check(&CheckId::RlsCondition),
    Proof::Check(&CheckId::RlsPartition),
    Proof::Check(&CheckId::RlsView),
    Proof::Check(&CheckId::RlsRule),
    Proof::Check(&CheckId::RlsFunction),
    Proof::Check(&CheckId::RlsSetting),
    Proof::Check(&CheckId::RlsTruncate),
    Proof::Check(&CheckId::RlsCascade),
    Proof::Check(&CheckId::RlsUncovered),
    Proof::Check(&CheckId::TenantIsolation),
];
const CHANGES: &[Proof] = &[
    Proof::Check(&CheckId::HistoryEqualsSource),
    Proof::Check(&CheckId::MissingMigration),
    Proof::Check(&CheckId::EditedMigration),
    Proof::Check(&CheckId::FailedMigration),
    Proof::Check(&CheckId::SchemaDrift),
];
const SOUND: &[Proof] = &[Proof::Check(&CheckId::ForeignKeyValidated), Proof::Check(&CheckId::IndexValid)];
const AUDIT: &[Proof] = &[Proof::AuditTable, Proof::Check(&CheckId::ConventionAuditColumns)];
const UNALTERABLE: &[Proof] = &[Proof::Query("unalterable")];
const RETENTION: &[Proof] = &[Proof::Query("retention")];
const RECOVERY: &[Proof] = &[Proof::Snapshot];
const REPEATED: &[Proof] = &[Proof::Repeated];

impl Proof {
    /// Gathers the evidence.
    pub(super) fn inspect(self, subject: &Subject) -> Piece {
        let report = &subject.report;
        let (what, (verdict, found)) = match self {
            Self::Check(id) => (id.name().to_owned(), check(report, id)),
            Self::Tables => ("row-level security".to_owned(), tables(report)),
            Self::AuditTable => ("audit table".to_owned(), audit_table(report)),
            Self::Query(word) => (format!("queries `{word}: …`"), query(report, word)),
            Self::Snapshot => ("snapshot".to_owned(), snapshot(subject)),
            Self::Repeated => ("repeated verification".to_owned(), repeated(subject)),
        };
        Piece { what, verdict, found }
    }

    /// What to write into the manifest so that it is asked.
    pub(super) fn ask(self) -> &'static str {
        match self {
            Self::Check(CheckId::SchemaDrift) => "spec.verify.drift: {}",
            Self::Check(CheckId::ForeignKeyValidated) => "spec.verify.foreignKeys: {validated: true}",
            Self::Check(CheckId::ConventionAuditColumns) => {
                "spec.verify.conventions: {auditColumns: [{name: created_at}, {name: updated_at}]}"
            }
            Self::Check(id) if id.name().starts_with("rls-") || *id == CheckId::TenantIsolation => {
                ROW_LEVEL_SECURITY
            }
            Self::Check(_) => "nothing: verify again with this version of Sluice, which always makes it",
            Self::Tables => ROW_LEVEL_SECURITY,
            Self::AuditTable => {
                "spec.verify.tables: {require: [{name: SCHEMA.audit_log, columns: [{name: COLUMN}]}]}"
            }
            Self::Query("retention") => {
                "spec.verify.queries: [{name: \"retention: WHAT IS KEPT HOW LONG\", sql: SELECT what went \
                    too early}]"
            }
            Self::Query(_) => {
                "spec.verify.queries: [{name: \"unalterable: WHAT CANNOT BE CHANGED\", sql: SELECT what was \
                    changed unseen}]"
            }
            Self::Snapshot => "spec.snapshot: {dump: {volumeClaim: CLAIM}, verify: Read}",
            Self::Repeated => "spec.verify.every: 6h",
        }
    }
}

const ROW_LEVEL_SECURITY: &str =
    "spec.verify.rowLevelSecurity: {appRole: ROLE, tenant: {column: COLUMN, setting: SETTING}}";

const NO_STATUS: &str = "no status of this DatabaseMigration was handed over: --status FILE";

type Found = (Proven, String);

fn not_asked(why: &str) -> Found {
    (Proven::NotAsked, why.to_owned())
}

fn missing(why: impl Into<String>) -> Found {
    (Proven::NotProven, why.into())
}

fn check(report: &Report, id: &CheckId) -> Found {
    let Some(found) = report.checks.iter().find(|check| check.id == *id) else {
        return not_asked("the report does not know this check");
    };
    let exempt = exempt(report, found);
    match found.verdict {
        CheckVerdict::Passed => (Proven::Proven, format!("passed{exempt}")),
        CheckVerdict::NotAsked => not_asked("the manifest does not ask for it"),
        CheckVerdict::Unknown => missing("the check could not be made"),
        CheckVerdict::Warned | CheckVerdict::Failed => missing(first(report, id)),
    }
}

/// What a check lets pass stays visible: what the manifest exempts is information.
fn exempt(report: &Report, check: &CheckResult) -> String {
    let mut said = String::new();
    if check.findings > 0 {
        said.push_str(&format!(", {} for information", count(check.findings, "finding")));
    }
    let ignored = report.asked.as_ref().map_or(&[][..], |asked| &asked.drift_ignored);
    if check.id == CheckId::SchemaDrift && !ignored.is_empty() {
        said.push_str(&format!(", but for what may differ: {}", ignored.join(", ")));
    }
    said
}

/// The first finding, and how many there are.
fn first(report: &Report, id: &CheckId) -> String {
    let found: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.check == *id && finding.severity != Severity::Information)
        .collect();
    match found.as_slice() {
        [] => "it did not pass".to_owned(),
        [one] => said(one),
        [one, others @ ..] => format!("{}; and {} more", said(one), others.len()),
    }
}

/// The message, with its object where it does not name it.
fn said(finding: &Finding) -> String {
    if finding.message.contains(&finding.object) {
        finding.message.clone()
    } else {
        format!("{}: {}", finding.object, finding.message)
    }
}

fn tables(report: &Report) -> Found {
    let Some(tenancy) = &report.tenancy else {
        return not_asked("the manifest does not say what a tenant is");
    };
    let Some(schema) = &report.schema else { return missing("the schema could not be read") };
    let of = |isolation: Isolation| schema.tables.iter().filter(move |table| table.isolation == isolation);
    let own: Vec<_> = schema
        .tables
        .iter()
        .filter(|table| {
            matches!(
                table.isolation,
                Isolation::Isolated | Isolation::Exposed | Isolation::Unproven | Isolation::Unknown
            )
        })
        .filter(|table| {
            matches!(table.kind, TableKind::Table | TableKind::Partitioned | TableKind::Partition)
        })
        .collect();
    if own.is_empty() {
        return missing(format!("no table has the column {}", tenancy.column));
    }
    let (enabled, forced) =
        (own.iter().filter(|table| table.enabled).count(), own.iter().filter(|table| table.forced).count());
    let policies: usize = own.iter().map(|table| table.policies.len()).sum();
    let open =
        of(Isolation::Exposed).count() + of(Isolation::Unproven).count() + of(Isolation::Unknown).count();
    let excepted: Vec<String> = of(Isolation::Excepted).map(Table::object).collect();
    let mut said = format!(
        "{} with the column {}: row-level security on {enabled}, forced on {forced}, {}",
        count(own.len(), "table"),
        tenancy.column,
        count(policies, "policy")
    );
    if open > 0 {
        said.push_str(&format!("; {open} not isolated"));
    }
    if !excepted.is_empty() {
        said.push_str(&format!("; excepted by the manifest: {}", excepted.join(", ")));
    }
    let proven = open == 0 && enabled == own.len() && forced == own.len();
    (if proven { Proven::Proven } else { Proven::NotProven }, said)
}

/// Words by which a table is taken for one that records who did what.
fn is_audit(table: &str) -> bool {
    let name = table.rsplit('.').next().unwrap_or(table).to_lowercase();
    ["audit", "access_log", "accesslog", "ledger", "audit_trail"].iter().any(|word| name.contains(word))
}

fn audit_table(report: &Report) -> Found {
    let Some(asked) = &report.asked else {
        return not_asked("the report does not say what the manifest asks for");
    };
    let tables: Vec<&str> = asked.tables.iter().map(String::as_str).filter(|table| is_audit(table)).collect();
    if tables.is_empty() {
        return not_asked("the manifest requires no table whose name says audit, access_log or ledger");
    }
    match check(report, &CheckId::TableRequired) {
        (Proven::Proven, _) => (
            Proven::Proven,
            format!("{} is there, with the columns that the manifest requires", tables.join(", ")),
        ),
        other => other,
    }
}

fn query(report: &Report, word: &str) -> Found {
    let prefix = format!("{word}:");
    let Some(asked) = &report.asked else {
        return not_asked("the report does not say what the manifest asks for");
    };
    let names: Vec<&String> = asked.questions.iter().filter(|name| name.starts_with(&prefix)).collect();
    if names.is_empty() {
        return not_asked("the manifest has no query of this name");
    }
    let verdict =
        report.checks.iter().find(|check| check.id == CheckId::QueryAssertion).map(|check| check.verdict);
    if !matches!(verdict, Some(CheckVerdict::Passed | CheckVerdict::Warned | CheckVerdict::Failed)) {
        return missing("the query could not be run");
    }
    let wrong = report
        .findings
        .iter()
        .find(|finding| finding.check == CheckId::QueryAssertion && names.contains(&&finding.object));
    match wrong {
        Some(finding) => missing(said(finding)),
        None => (
            Proven::Proven,
            names
                .into_iter()
                .map(|name| format!("answered as expected: {name}"))
                .collect::<Vec<_>>()
                .join("; "),
        ),
    }
}

fn snapshot(subject: &Subject) -> Found {
    let Some(asked) = &subject.report.asked else {
        return not_asked("the report does not say what the manifest asks for");
    };
    if let Some(reason) = &asked.waived {
        return not_asked(&format!("the manifest waives it: {reason}"));
    }
    if !matches!(asked.snapshot, Some(ReadBack::Read | ReadBack::Restore)) {
        return not_asked(
            "the manifest asks only for a list of what is in it, which does not notice that a part is \
                missing",
        );
    }
    let Some(status) = &subject.status else { return missing(NO_STATUS) };
    let Some(taken) = &status.snapshot else { return missing("the status knows no snapshot") };
    if status.current_version != subject.report.version {
        let version = status.current_version.as_deref().unwrap_or("no version");
        return missing(format!("the status speaks of {version}, the report of another version"));
    }
    let how = match taken.verified {
        ReadBack::List => return missing(format!("{} was only listed", taken.reference)),
        ReadBack::Read if asked.snapshot == Some(ReadBack::Restore) => {
            return missing(format!("{} was read back and not restored", taken.reference));
        }
        ReadBack::Read => "every byte read back",
        ReadBack::Restore => "every byte read back, and restored",
    };
    let keep = asked.keep.as_ref().map_or_else(
        || "all are kept".to_owned(),
        |keep| format!("the last {} are kept, and each for {}", keep.last, count(keep.days as usize, "day")),
    );
    let said = format!(
        "{} taken {}, {} bytes, SHA-256 {}, {how}; {keep}",
        taken.reference, taken.taken_at.0, taken.bytes, taken.sha256
    );
    (Proven::Proven, said)
}

fn repeated(subject: &Subject) -> Found {
    let Some(asked) = &subject.report.asked else {
        return not_asked("the report does not say what the manifest asks for");
    };
    let Some(every) = asked.every else { return not_asked("the manifest verifies only after a change") };
    let Some(status) = &subject.status else { return missing(NO_STATUS) };
    let verified = |run: &&RunStatus| run.reason.as_deref() == Some(Reason::Verified.name());
    let Some(ended) = status.run.as_ref().filter(verified).and_then(|run| run.finished_at.as_ref()) else {
        return missing("the last run of the status did not pass, or has not ended");
    };
    // A verification that is due takes its time, hence twice.
    let age = subject.report.at.duration_since(ended.0);
    if Duration::try_from(age).is_ok_and(|age| age > every.duration() * 2) {
        return missing(format!("the last verification ended {}, longer ago than {every} allow", ended.0));
    }
    (Proven::Proven, format!("every {every}; the last one ended {} and passed", ended.0))
}
