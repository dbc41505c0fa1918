//! Evidence for regimes: which of a law's duties a verification proves, and by what. PURE. It is no legal
//! opinion, and it never says more than a check has found: what the manifest does not ask for is not asked,
//! and what no check could read is not proven.

mod markdown;
mod page;
mod proof;
mod regime;
mod text;

use jiff::Timestamp;
use serde::Serialize;

use super::{Form, Report, Verdict, json};
use crate::api::DatabaseMigrationStatus;

pub use regime::{NAMES, Regime, named};

/// What stands on every form of it.
pub const NOTICE: &str = "Technical evidence about a database schema at one moment. It is no legal opinion, \
    and no certificate of compliance.";

/// What is known about one database.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// What a verification found.
    pub report: Report,
    /// The status of the DatabaseMigration, where the caller handed it over: it knows the snapshot and the
    /// last verification.
    pub status: Option<DatabaseMigrationStatus>,
}

/// The evidence of several databases for several regimes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Always `ComplianceEvidence`.
    pub kind: String,
    /// The version of this form: 1.
    pub format: u32,
    /// What it is, and what it is not.
    pub notice: String,
    /// Passed when every duty of every part is proven.
    pub verdict: Verdict,
    /// One for each database and regime.
    pub parts: Vec<Part>,
}

/// One database and one regime.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The regime, as it is asked for.
    pub regime: &'static str,
    /// Its full name.
    pub law: &'static str,
    /// `namespace/name`.
    pub name: String,
    /// `host:port/database`.
    pub database: String,
    /// The newest applied migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was inspected.
    pub at: Timestamp,
    /// Passed when every duty is proven.
    pub verdict: Verdict,
    /// How many duties are proven, not proven and not asked.
    pub counts: Counts,
    /// The duties that a schema can prove.
    pub duties: Vec<Duty>,
    /// What the regime demands and no schema can prove.
    pub elsewhere: Vec<Elsewhere>,
    /// What to write into the manifest so that everything is asked.
    pub ask: Vec<&'static str>,
}

/// How many duties have which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Every piece of evidence is there.
    pub proven: usize,
    /// A piece of evidence was asked for, and is not there.
    pub not_proven: usize,
    /// The manifest does not ask for all of it.
    pub not_asked: usize,
}

/// One duty of a regime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duty {
    /// What must be true, in a few words.
    pub title: &'static str,
    /// Where it is written.
    pub rule: &'static str,
    /// The worst of its evidence.
    pub verdict: Proven,
    /// Piece by piece.
    pub evidence: Vec<Piece>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// The check, or what else was inspected.
    pub what: String,
    /// What came of it.
    pub verdict: Proven,
    /// What was found.
    pub found: String,
}

/// What the evidence says. Ordered by how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Proven {
    /// It was asked for, and the evidence is not there: a check found something, or could not be made.
    NotProven,
    /// The manifest does not ask for it.
    NotAsked,
    /// It was inspected, and is so.
    Proven,
}

impl Proven {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotProven => "not proven",
            Self::NotAsked => "not asked",
            Self::Proven => "proven",
        }
    }
}

/// A duty that no schema can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Elsewhere {
    /// What must be true.
    pub title: &'static str,
    /// Where it is written.
    pub rule: &'static str,
    /// Why it cannot be seen here, and where it is.
    pub why: &'static str,
}

impl Elsewhere {
    fn of(duty: &'static regime::Elsewhere) -> Self {
        Self { title: &duty.title, rule: &duty.rule, why: duty.why() }
    }
}

impl Evidence {
    /// Judges each database for each regime.
    pub fn of(subjects: &[Subject], regimes: &[&'static Regime]) -> Self {
        let parts: Vec<Part> = subjects
            .iter()
            .flat_map(|subject| regimes.iter().map(|regime| Part::of(subject, regime)))
            .collect();
        let passed = !parts.is_empty() && parts.iter().all(|part| part.verdict == Verdict::Passed);
        Self {
            kind: "ComplianceEvidence".to_owned(),
            format: 1,
            notice: NOTICE.to_owned(),
            verdict: if passed { Verdict::Passed } else { Verdict::Failed },
            parts,
        }
    }

    /// The text in a form; none when there is no such form of it.
    pub fn print(&self, form: Form) -> Option<String> {
        match form {
            Form::Text { coloured, .. } => Some(text::print(self, coloured)),
            Form::Json => Some(json::print(self)),
            Form::Markdown => Some(markdown::print(self)),
            Form::Html => Some(page::print(self)),
            Form::Junit => None,
        }
    }
}

impl Part {
    fn of(subject: &Subject, regime: &'static Regime) -> Self {
        let mut ask: Vec<&'static str> = Vec::new();
        let duties: Vec<Duty> = regime.duties.iter().map(|duty| judge(subject, duty, &mut ask)).collect();
        let count = |verdict| duties.iter().filter(|duty| duty.verdict == verdict).count();
        let counts = Counts {
            proven: count(Proven::Proven),
            not_proven: count(Proven::NotProven),
            not_asked: count(Proven::NotAsked),
        };
        let report = &subject.report;
        Self {
            regime: &regime.name,
            law: &regime.law,
            name: format!("{}/{}", report.namespace, report.name),
            database: report.database.clone(),
            version: report.version.clone(),
            at: report.at,
            verdict: if !duties.is_empty() && counts.proven == duties.len() {
                Verdict::Passed
            } else {
                Verdict::Failed
            },
            counts,
            duties,
            elsewhere: regime.elsewhere.iter().map(Elsewhere::of).collect(),
            ask,
        }
    }
}

fn judge(subject: &Subject, duty: &'static regime::Duty, ask: &mut Vec<&'static str>) -> Duty {
    let mut evidence = Vec::new();
    for proof in duty.proofs.iter().flat_map(|grounds| grounds.proofs()) {
        let piece = proof.inspect(subject);
        if piece.verdict == Proven::NotAsked && !ask.contains(&proof.ask()) {
            ask.push(proof.ask());
        }
        evidence.push(piece);
    }
    let verdict = evidence.iter().map(|piece| piece.verdict).min().unwrap_or(Proven::NotProven);
    Duty { title: &duty.title, rule: &duty.rule, verdict, evidence }
}
