//! From what came of the attempts to findings. PURE.
//!
//! What leaked is an error. What could not be tried, or proves nothing because even an own row was refused,
//! is a warning that says so: it is never a silent pass, and an empty table of a first deployment does not
//! keep Ready off.

use std::collections::BTreeMap;

use super::{
    META,
    attack::{MANY, Observation, ReadResult, WriteResult},
    meaning::went_through,
    target::Target,
    unproven::{unproven, unproven_partitions},
};
use crate::api::{Finding, Severity};

/// All findings, one for each table and kind; partitions that could not be tried are one finding of their
/// table.
///
/// Of a role that the application can become, `other`, no policy may speak at all: then what is refused is
/// closed.
pub(super) fn judge(observations: &[Observation], setting: &str, other: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut partitions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for seen in observations {
        let leaks: Vec<_> =
            [leaks_on_read(seen, setting), leaks_on_write(seen)].into_iter().flatten().collect();
        if seen.target.bare {
            // Nothing else matters there: what did not leak today was kept by chance.
            found.extend(if leaks.is_empty() { vec![bare(seen)] } else { leaks });
            continue;
        }
        found.extend(leaks.into_iter().chain(
            [blind(seen, setting, other), fragile(seen, setting), orphaned(seen)].into_iter().flatten(),
        ));
        match (&seen.unseeded, &seen.target.root) {
            (Some(_), Some(root)) => partitions.entry(root).or_default().push(seen.target.display()),
            _ => found.extend(unproven(seen, other)),
        }
    }
    found.extend(partitions.into_iter().map(|(root, names)| unproven_partitions(root, &names)));
    found
}

/// No policy applies, whatever came of the attempts: an empty table, or a constraint, is no guard.
fn bare(seen: &Observation) -> Finding {
    let reason = seen
        .untried
        .as_ref()
        .or(seen.unseeded.as_ref())
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    let message = format!(
        "row-level security is off, and the application may use the table; no attempt could show more{reason}"
    );
    META.finding(seen.target.display(), message, enable(&seen.target))
}

fn enable(target: &Target) -> String {
    format!(
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, with a policy that compares the \
            tenant",
        target.qualified()
    )
}

fn leaks_on_read(seen: &Observation, setting: &str) -> Option<Finding> {
    let most = seen.foreign.iter().filter_map(rows).max().filter(|rows| *rows > 0);
    let with = most.map(|most| {
        let verb = if most == 1 { "is" } else { "are" };
        format!("with a tenant set, the application sees {} that {verb} not that tenant's", count(most))
    });
    let ways = [("never set", &seen.unset), ("empty", &seen.empty)];
    let open: Vec<_> = ways
        .iter()
        .filter_map(|(how, read_result)| rows(read_result).filter(|rows| *rows > 0).map(|rows| (*how, rows)))
        .collect();
    let without = open.iter().map(|(_, rows)| *rows).max().map(|most| {
        let ways: Vec<_> = open.iter().map(|(how, _)| *how).collect();
        format!("without a tenant ({setting} is {}) the application sees {}", ways.join(" or "), count(most))
    });
    let remedy = match (&with, &without) {
        (None, None) => return None,
        _ if seen.target.bare => enable(&seen.target),
        _ if seen.target.view.is_some() => through_a_view(&seen.target),
        (Some(_), _) => "compare the tenant column with the setting in every permissive policy for SELECT; \
            they are joined with OR, so search for one that says more"
            .to_owned(),
        (None, Some(_)) => format!(
            "let the policies be false without a tenant: tenant = \
            NULLIF(current_setting('{setting}', true), '')::type, and no OR … IS NULL"
        ),
    };
    let message = format!(
        "cross-tenant read: {}",
        [with, without].into_iter().flatten().collect::<Vec<_>>().join("; ")
    );
    Some(META.finding(seen.target.display(), message, remedy))
}

/// The remedy where the table may be closed and the view is not.
fn through_a_view(target: &Target) -> String {
    if target.view.as_ref().is_some_and(|view| view.stored) {
        format!(
            "REVOKE ALL ON {} FROM the application's role, and put a view that compares the tenant column in \
                front of it",
            target.qualified()
        )
    } else {
        format!(
            "ALTER VIEW {} SET (security_invoker = true), or compare the tenant column with the setting in \
                the view",
            target.qualified()
        )
    }
}

fn leaks_on_write(seen: &Observation) -> Option<Finding> {
    let write_results = [
        ("INSERT a row of another tenant", std::slice::from_ref(&seen.insert_foreign)),
        ("UPDATE an own row so that it is another tenant's", std::slice::from_ref(&seen.give)),
        ("UPDATE another tenant's rows", seen.update.as_slice()),
        ("DELETE another tenant's rows", seen.delete.as_slice()),
    ];
    let ways: Vec<_> = write_results
        .iter()
        .filter_map(|(what, write_results)| {
            write_results
                .iter()
                .find_map(|write_result| went_through(write_result, &seen.target))
                .map(|how| format!("{what}{how}"))
        })
        .collect();
    if ways.is_empty() {
        return None;
    }
    let message = format!("cross-tenant write: with a tenant set, the application can {}", ways.join(", "));
    let remedy = if seen.target.bare {
        enable(&seen.target)
    } else if seen.target.view.is_some() {
        through_a_view(&seen.target)
    } else {
        "compare the tenant column with the setting in WITH CHECK of every policy for INSERT and UPDATE, and \
            in USING of every policy for UPDATE and DELETE"
            .to_owned()
    };
    Some(META.finding(seen.target.display(), message, remedy))
}

/// A tenant that does not see its own rows: the policies require something else than the manifest says.
fn blind(seen: &Observation, setting: &str, other: bool) -> Option<Finding> {
    if seen.unseeded.is_some() || other {
        return None;
    }
    let message = match &seen.own {
        ReadResult::Rows(0) if !seen.seeded && seen.target.view.is_none() => {
            format!("with {setting} set to a tenant, the application does not see that tenant's rows")
        }
        ReadResult::Refused(refusal) if refusal.code == "42P17" => {
            format!("no query works: {}", refusal.display())
        }
        _ => return None,
    };
    let remedy = format!(
        "check that the policies read {setting}, that they apply to the role, and that they do not read \
            each other in a cycle"
    );
    Some(META.finding(seen.target.display(), message, remedy))
}

/// Rows without a tenant belong to no tenant, and every tenant sees or makes them. There may be none yet, so
/// it is a warning.
fn orphaned(seen: &Observation) -> Option<Finding> {
    let seen_by_all = matches!(seen.without_tenant.seen, ReadResult::Rows(rows) if rows > 0);
    let made = matches!(seen.without_tenant.made, WriteResult::Touched(rows) if rows > 0);
    let what = match (seen_by_all, made) {
        (true, true) => {
            "every tenant sees a row without a tenant, and any tenant can make one of its own rows one"
        }
        (true, false) => "every tenant sees a row without a tenant",
        (false, true) => "any tenant can leave a row without a tenant",
        (false, false) => return None,
    };
    let message = format!("the tenant column may be null: {what}");
    let remedy = format!(
        "ALTER TABLE {} ALTER COLUMN the tenant column SET NOT NULL, or let no policy be true where it is \
            null",
        seen.target.qualified()
    );
    Some(Finding { severity: Severity::Warning, ..META.finding(seen.target.display(), message, remedy) })
}

/// Closed by an error of a cast: safe, but connections that come back from a pool fail.
fn fragile(seen: &Observation, setting: &str) -> Option<Finding> {
    match &seen.empty {
        ReadResult::Refused(refusal) if refusal.code.starts_with("22") => {
            let message = format!(
                "with an empty {setting} every query fails: {}; PostgreSQL leaves the setting empty after \
                    each transaction that set it",
                refusal.display()
            );
            let remedy = format!(
                "write NULLIF(current_setting('{setting}', true), '') before the cast in the policies"
            );
            Some(Finding {
                severity: Severity::Warning,
                ..META.finding(seen.target.display(), message, remedy)
            })
        }
        _ => None,
    }
}

fn rows(read_result: &ReadResult) -> Option<u64> {
    match read_result {
        ReadResult::Rows(rows) => Some(*rows),
        ReadResult::Skipped | ReadResult::Refused(_) => None,
    }
}

fn count(rows: u64) -> String {
    match rows {
        1 => "1 row".to_owned(),
        MANY.. => format!("{MANY} rows or more"),
        rows => format!("{rows} rows"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::probe::{attempt::Refusal, without_tenant::WithoutTenant};

    pub(in crate::probe) fn refused(code: &str, routine: &str) -> Refusal {
        Refusal { code: code.into(), routine: routine.into(), message: "no".into() }
    }

    pub(in crate::probe) fn policy() -> Refusal {
        refused("42501", "ExecWithCheckOptions")
    }

    pub(in crate::probe) fn closed() -> Observation {
        let mut seen = Observation {
            unset: ReadResult::Rows(0),
            empty: ReadResult::Rows(0),
            own: ReadResult::Rows(1),
            ..Observation::default()
        };
        seen.target.schema = "s".into();
        seen.target.name = "t".into();
        seen.foreign = vec![ReadResult::Rows(0); 3];
        seen.insert_own = WriteResult::Touched(1);
        seen.insert_foreign = WriteResult::Refused(policy());
        seen.give = WriteResult::Refused(policy());
        seen.update = vec![WriteResult::Touched(0)];
        seen.delete = vec![WriteResult::Touched(0)];
        seen
    }

    pub(in crate::probe) fn found(seen: Observation) -> Vec<(Severity, String)> {
        judge(&[seen], "app.t", false)
            .into_iter()
            .map(|finding| (finding.severity, finding.message))
            .collect()
    }

    pub(in crate::probe) fn only(seen: Observation, severity: Severity, part: &str) {
        let found = found(seen);
        assert!(
            found.len() == 1 && found[0].0 == severity && found[0].1.contains(part),
            "{found:?} is not one {severity:?} with {part:?}"
        );
    }

    #[test]
    fn a_closed_table_gives_no_finding() {
        assert_eq!(found(closed()), []);
    }

    #[test]
    fn a_table_without_row_level_security_fails_whatever_the_attempts_show() {
        let bare = |mut seen: Observation| {
            seen.target.bare = true;
            seen
        };
        only(bare(closed()), Severity::Error, "row-level security is off");
        only(
            bare(Observation { unseeded: Some("it has no rows".into()), ..closed() }),
            Severity::Error,
            "(it has no rows)",
        );
        only(
            bare(Observation { foreign: vec![ReadResult::Rows(3)], ..closed() }),
            Severity::Error,
            "sees 3 rows that are not",
        );
    }

    #[test]
    fn rows_of_others_are_a_leak_and_counted() {
        only(
            Observation { foreign: vec![ReadResult::Rows(0), ReadResult::Rows(3)], ..closed() },
            Severity::Error,
            "sees 3 rows that are not",
        );
        only(
            Observation { foreign: vec![ReadResult::Rows(MANY)], ..closed() },
            Severity::Error,
            "sees 1000 rows or more",
        );
    }

    #[test]
    fn rows_without_a_tenant_are_a_leak() {
        only(
            Observation { unset: ReadResult::Rows(1), ..closed() },
            Severity::Error,
            "without a tenant (app.t is never set) the application sees 1 row",
        );
        only(
            Observation { unset: ReadResult::Rows(1), empty: ReadResult::Rows(2), ..closed() },
            Severity::Error,
            "is never set or empty",
        );
        let both = Observation { unset: ReadResult::Rows(1), foreign: vec![ReadResult::Rows(4)], ..closed() };
        only(both, Severity::Error, "sees 4 rows that are not that tenant's; without a tenant");
    }

    #[test]
    fn an_error_without_a_tenant_is_closed_and_a_failing_cast_is_worth_a_warning() {
        assert_eq!(found(Observation { unset: ReadResult::Refused(refused("42704", "")), ..closed() }), []);
        only(
            Observation { empty: ReadResult::Refused(refused("22P02", "")), ..closed() },
            Severity::Warning,
            "empty app.t every query fails",
        );
    }

    #[test]
    fn each_kind_of_write_for_another_tenant_is_a_leak() {
        only(
            Observation { insert_foreign: WriteResult::Touched(1), ..closed() },
            Severity::Error,
            "INSERT a row of another tenant",
        );
        only(Observation { give: WriteResult::Touched(1), ..closed() }, Severity::Error, "UPDATE an own row");
        only(
            Observation { update: vec![WriteResult::Touched(0), WriteResult::Touched(1)], ..closed() },
            Severity::Error,
            "UPDATE another tenant's rows",
        );
        only(
            Observation { delete: vec![WriteResult::Touched(1)], ..closed() },
            Severity::Error,
            "DELETE another tenant's rows",
        );
    }

    #[test]
    fn a_row_that_only_a_constraint_stopped_has_passed_the_policies() {
        let stopped = WriteResult::Refused(refused("23503", "ri_ReportViolation"));
        only(
            Observation { insert_foreign: stopped, ..closed() },
            Severity::Error,
            "only a constraint stopped it: SQLSTATE 23503",
        );
        let mut seen = Observation { insert_foreign: WriteResult::Refused(refused("23503", "")), ..closed() };
        seen.target.triggers = true;
        only(seen, Severity::Warning, "unproven: INSERT");
        let not_null = WriteResult::Refused(refused("23502", "ExecConstraints"));
        only(Observation { insert_foreign: not_null, ..closed() }, Severity::Error, "only a constraint");
        let domain = WriteResult::Refused(refused("23514", "ExecEvalConstraintCheck"));
        only(Observation { insert_foreign: domain, ..closed() }, Severity::Warning, "unproven: INSERT");
    }

    #[test]
    fn a_tenant_that_does_not_see_its_own_rows_is_an_error_unless_the_row_was_made_up() {
        only(
            Observation { own: ReadResult::Rows(0), ..closed() },
            Severity::Error,
            "does not see that tenant's rows",
        );
        only(
            Observation { own: ReadResult::Rows(0), seeded: true, ..closed() },
            Severity::Warning,
            "unproven: reading",
        );
        only(
            Observation { own: ReadResult::Refused(refused("42P17", "")), ..closed() },
            Severity::Error,
            "no query works",
        );
        only(
            Observation { own: ReadResult::Refused(refused("42704", "")), ..closed() },
            Severity::Warning,
            "unproven: reading",
        );
    }

    #[test]
    fn of_several_columns_one_that_leaks_is_enough() {
        let leaks = Observation {
            update: vec![WriteResult::Refused(refused("23514", "")), WriteResult::Touched(1)],
            ..closed()
        };
        only(leaks, Severity::Error, "UPDATE another tenant's rows");
        only(
            Observation { update: vec![WriteResult::Impossible], ..closed() },
            Severity::Warning,
            "unproven: UPDATE (no value is known",
        );
    }

    #[test]
    fn rows_of_nobody_are_a_warning() {
        let seen = Observation {
            without_tenant: WithoutTenant {
                seen: ReadResult::Rows(1),
                made: WriteResult::Touched(1),
                untried: false,
            },
            ..closed()
        };
        only(seen, Severity::Warning, "every tenant sees a row without a tenant, and any tenant can make");
    }

    #[test]
    fn a_role_of_which_no_policy_speaks_is_closed() {
        let seen =
            Observation { own: ReadResult::Rows(0), insert_own: WriteResult::Refused(policy()), ..closed() };
        assert_eq!(judge(std::slice::from_ref(&seen), "app.t", true), []);
        assert_eq!(judge(&[seen], "app.t", false).len(), 2);
    }

    #[test]
    fn what_was_not_granted_is_not_missing() {
        let target = closed().target;
        assert_eq!(found(Observation { target, ..Observation::default() }), []);
    }
}
