//! `spec.before.rehearsal` as meant. PURE.

use bytesize::ByteSize;

use super::{SnapshotPolicy, Violation};
use crate::api::{self, RehearsalGround, Span};

/// A trial of the release on a copy, before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// What the release is tried on.
    pub on: RehearsalGround,
    /// The Secret, and its key, of the server that the copy is made on; that of the database where there is none.
    pub server: Option<(String, String)>,
    /// What must not be exceeded there.
    pub limits: RehearsalLimits,
}

/// What must not be exceeded on the copy; no limit where one is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RehearsalLimits {
    /// How long an existing table may stay locked against writers.
    pub lock_held: Option<Span>,
    /// How many bytes of existing tables and indexes may be written anew.
    pub rewrite: Option<u64>,
    /// How long the statements may take together.
    pub duration: Option<Span>,
}

/// Reads the section. `snapshot` is what is kept; none where that section says something impossible.
pub(super) fn read(
    written: Option<&api::Rehearsal>,
    snapshot: Option<&SnapshotPolicy>,
    violations: &mut Vec<Violation>,
) -> Option<Rehearsal> {
    let written = written?;
    let mut wrong = |field: &'static str, problem: String| {
        violations.push(Violation { field: field.into(), problem });
    };
    let on = written.on.unwrap_or_default();
    if on == RehearsalGround::Snapshot && matches!(snapshot, Some(SnapshotPolicy::Waived(_))) {
        let problem =
            "is Snapshot, and spec.snapshot takes none: give spec.snapshot.dump, or rehearse on: Schema";
        wrong("spec.before.rehearsal.on", problem.to_owned());
    }
    let limits = written.limits.clone().unwrap_or_default();
    let size = limits.rewrite.as_deref().map(|size| size.parse::<ByteSize>().map_err(|_| size));
    if let Some(Err(size)) = &size {
        let problem = format!("{size:?} is no size: write a number of bytes, or one with Ki, Mi, Gi or Ti");
        wrong("spec.before.rehearsal.limits.rewrite", problem);
    }
    let rewrite = size.and_then(Result::ok).map(|size| size.as_u64());
    let limits = RehearsalLimits { lock_held: limits.lock_held, rewrite, duration: limits.duration };
    let secret = written.server.as_ref().map(|server| &server.secret_ref);
    let server = secret.map(|secret| (secret.name.clone(), secret.key.clone()));
    Some(Rehearsal { on, server, limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str, snapshot: &SnapshotPolicy) -> (Option<Rehearsal>, Vec<String>) {
        let written: api::Rehearsal = serde_saphyr::from_str(yaml).expect("a section");
        let mut violations = Vec::new();
        let rehearsal = read(Some(&written), Some(snapshot), &mut violations);
        (rehearsal, violations.iter().map(ToString::to_string).collect())
    }

    fn dump() -> SnapshotPolicy {
        SnapshotPolicy::Dump {
            claim: "snapshots".into(),
            jobs: 1,
            read_back: api::ReadBack::Read,
            keep: None,
            max_age: Span::from_secs(3600),
        }
    }

    #[test]
    fn it_is_on_the_snapshot_and_without_limits_where_it_does_not_say() {
        let (on, limits) = (RehearsalGround::Snapshot, RehearsalLimits::default());
        let expected = Rehearsal { on, server: None, limits };
        assert_eq!(of("{}", &dump()), (Some(expected), vec![]));
        let (rehearsal, violations) = of("{limits: {lockHeld: 2s, rewrite: 256Mi}}", &dump());
        let limits = rehearsal.map(|rehearsal| rehearsal.limits).unwrap_or_default();
        assert_eq!((limits.lock_held, limits.rewrite), (Some(Span::from_secs(2)), Some(256 << 20)));
        assert_eq!(violations, [""; 0]);
    }

    #[test]
    fn a_snapshot_that_is_not_taken_and_a_size_that_is_none_are_named() {
        let waived = SnapshotPolicy::Waived("a throw-away database".into());
        let (_, violations) = of("{limits: {rewrite: many}}", &waived);
        assert!(violations[0].starts_with("spec.before.rehearsal.on: is Snapshot"), "{violations:?}");
        assert!(
            violations[1].starts_with("spec.before.rehearsal.limits.rewrite: \"many\""),
            "{violations:?}"
        );
        assert_eq!(of("{on: Schema}", &waived).1, [""; 0]);
    }
}
