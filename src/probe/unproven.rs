//! What was not tried, and what proves nothing: a warning that says so, and never a silent pass. PURE.

use super::{
    META,
    attack::{Observation, ReadResult, WriteResult},
    attempt::Refusal,
    meaning::{Meaning, meaning, uncertain, went_through},
    target::Target,
};
use crate::{
    api::{Finding, Severity},
    inspect::sql,
};

/// What was not tried on a table, or proves nothing.
pub(super) fn unproven(seen: &Observation, other: bool) -> Option<Finding> {
    if seen.late {
        return None;
    }
    let mut reasons: Vec<_> = seen.untried.iter().map(|reason| format!("everything ({reason})")).collect();
    if seen.unpaired && seen.unseeded.is_none() {
        reasons.push(
            "reading, UPDATE and DELETE of others' rows (the application may not read the tenant \
            column, and there is no tenant without rows in it to read as)"
                .to_owned(),
        );
    }
    reasons.extend(reading_untold(seen, other));
    let foreign = seen.foreign.iter().chain([&seen.unset]).find_map(|read_result| match read_result {
        ReadResult::Refused(refusal) if matches!(refusal.code.as_str(), "57014" | "55P03") => Some(refusal),
        _ => None,
    });
    reasons.extend(foreign.map(|refusal| format!("reading others' rows ({})", refusal.display())));
    if seen.without_tenant.untried {
        reasons.push(
            "reading rows without a tenant (the tenant column may be null, and no such row could be made)"
                .to_owned(),
        );
    }
    reasons.extend(insert_untold(seen, other));
    reasons.extend(untold("UPDATE of an own row", [&seen.give], &seen.target, seen.known));
    // Of several columns one that leaks is enough.
    if seen.update.iter().all(|write_result| went_through(write_result, &seen.target).is_none()) {
        reasons.extend(untold("UPDATE", &seen.update, &seen.target, false));
    }
    reasons.extend(untold("DELETE", &seen.delete, &seen.target, false));
    if reasons.is_empty() {
        return None;
    }
    reasons.dedup();
    let message = format!("{}{}", Finding::UNPROVEN, reasons.join("; "));
    if let Some(who) = &seen.held {
        let message = format!(
            "{who:?} has locked the whole table against writing, so {}{}",
            Finding::UNTRIED,
            seen.target.display()
        );
        let remedy = "end that session; the application could keep every probe from reading by such a lock, \
            so it is an error";
        return Some(META.finding(seen.target.display(), message, remedy));
    }
    let remedy = "the next verification retries it. Until then the other checks of row-level security are \
        what there is";
    Some(Finding { severity: Severity::Warning, ..META.finding(seen.target.display(), message, remedy) })
}

/// What reading does not tell of the rows that the attempt begins with.
fn reading_untold(seen: &Observation, other: bool) -> Option<String> {
    match (&seen.unseeded, &seen.own) {
        (None, ReadResult::Rows(0)) if other => None,
        (Some(reason), _) => Some(format!("reading, UPDATE and DELETE (the table is empty, and {reason})")),
        (None, ReadResult::Rows(0)) if seen.seeded => Some(
            "reading (the table is empty, and a row made for the attempt is not visible to its own tenant)"
                .to_owned(),
        ),
        (None, ReadResult::Rows(0)) if seen.target.view.is_some() => {
            Some("reading (it shows no row of a tenant that has some in the tables that it reads)".to_owned())
        }
        (None, ReadResult::Refused(refusal)) if refusal.code != "42P17" => {
            Some(format!("reading ({})", refusal.display()))
        }
        _ => None,
    }
}

fn insert_untold(seen: &Observation, other: bool) -> Option<String> {
    match (&seen.insert_own, &seen.insert_foreign) {
        (WriteResult::Impossible, WriteResult::Skipped) => Some(
            "INSERT (no values are known for a row that the \
            application could write)"
                .to_owned(),
        ),
        // No policy speaks of the other role, so no row is let in.
        (WriteResult::Refused(own), WriteResult::Refused(_) | WriteResult::Skipped)
            if other && own.code == "42501" =>
        {
            None
        }
        (WriteResult::Refused(own), _) if seen.derived => Some(format!(
            "INSERT (the application does not write the tenant column, and its own row is \
                refused: {})",
            own.display()
        )),
        (WriteResult::Touched(0), WriteResult::Skipped) if seen.derived => Some(
            "INSERT (the application does not write the tenant column, and it was not found from what \
                the tenant follows)"
                .to_owned(),
        ),
        (WriteResult::Refused(own), WriteResult::Refused(_)) if meaning(own) != Meaning::Passed => {
            Some(format!("INSERT (even an own row is refused: {})", own.display()))
        }
        (own, foreign) => {
            let known = seen.known && matches!(own, WriteResult::Touched(rows) if *rows > 0);
            untold("INSERT", [foreign], &seen.target, known)
        }
    }
}

/// What a write does not tell. What a trigger refuses is no more than that one statement, unless it was
/// `the_attack` itself: an own row that goes to a tenant that there is.
fn untold<'d>(
    what: &str,
    write_results: impl IntoIterator<Item = &'d WriteResult>,
    target: &Target,
    the_attack: bool,
) -> Option<String> {
    let tells = |refusal: &Refusal| match meaning(refusal) {
        Meaning::Closed => refusal.code != "P0001" || the_attack || !target.reacts,
        Meaning::Passed => !uncertain(target, refusal),
        Meaning::Unknown => false,
    };
    write_results.into_iter().find_map(|write_result| match write_result {
        WriteResult::Refused(refusal) if !tells(refusal) => Some(format!("{what} ({})", refusal.display())),
        WriteResult::Impossible => {
            Some(format!("{what} (no value is known for a column that the application may change)"))
        }
        WriteResult::Skipping(_) if !the_attack => {
            Some(format!("{what} (a row that the policies let through was skipped, by a trigger or a rule)"))
        }
        _ => None,
    })
}

/// Partitions that stayed empty, as one finding of their table.
pub(super) fn unproven_partitions(root: &str, names: &[String]) -> Finding {
    let message = format!(
        "unproven: the application may address {} directly, which {} empty, and no row could be made there",
        sql::few(names, 20),
        if names.len() == 1 { "is" } else { "are" }
    );
    let remedy = "revoke what the application's role may do on the partitions: privileges on the partitioned \
        table are enough";
    Finding { severity: Severity::Warning, ..META.finding(root, message, remedy) }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            verdict::{
                judge,
                tests::{closed, found, only, policy, refused},
            },
            without_tenant::WithoutTenant,
        },
        *,
    };

    #[test]
    fn a_refusal_proves_nothing_when_even_an_own_row_is_refused() {
        only(
            Observation { insert_own: WriteResult::Refused(policy()), ..closed() },
            Severity::Warning,
            "even an own row is refused",
        );
        assert_eq!(
            found(Observation {
                insert_own: WriteResult::Refused(refused("23505", "_bt_check_unique")),
                ..closed()
            }),
            []
        );
    }

    #[test]
    fn a_table_that_stays_empty_is_a_warning_and_never_a_silent_pass() {
        let empty = || Observation {
            unseeded: Some("it has no rows".into()),
            own: ReadResult::Rows(0),
            seeded: false,
            ..closed()
        };
        only(empty(), Severity::Warning, "unproven: reading, UPDATE and DELETE");
        let partition = |name: &str| {
            let mut seen = empty();
            seen.target.root = Some("s.visits".into());
            seen.target.name = name.into();
            seen
        };
        let found = judge(&[partition("a"), partition("b")], "app.t", false);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].object, "s.visits");
    }

    #[test]
    fn time_that_ran_out_is_unproven() {
        only(
            Observation { foreign: vec![ReadResult::Refused(refused("57014", ""))], ..closed() },
            Severity::Warning,
            "longer than 5 s",
        );
    }

    #[test]
    fn a_table_that_was_not_tried_is_a_warning() {
        let target = closed().target;
        let untried = Some("there was no time left".to_owned());
        only(
            Observation { target, untried, ..Observation::default() },
            Severity::Warning,
            "unproven: everything (there was no time left)",
        );
    }

    #[test]
    fn a_lock_of_the_application_is_an_error() {
        let locked = || WriteResult::Refused(refused("55P03", ""));
        only(
            Observation { insert_foreign: locked(), ..closed() },
            Severity::Warning,
            "unproven: INSERT (another session held a lock",
        );
        let held = Some("app".to_owned());
        only(
            Observation { insert_foreign: locked(), held, ..closed() },
            Severity::Error,
            "has locked the whole table",
        );
    }

    #[test]
    fn what_a_trigger_refuses_or_skips_proves_nothing_unless_it_was_the_attack_itself() {
        let raised = || WriteResult::Refused(refused("P0001", "exec_stmt_raise"));
        let with_triggers = |mut seen: Observation| {
            seen.target.reacts = true;
            seen
        };
        assert_eq!(
            found(Observation { update: vec![raised()], ..closed() }),
            [],
            "without a trigger it is the policy that raised"
        );
        only(
            with_triggers(Observation { update: vec![raised()], ..closed() }),
            Severity::Warning,
            "unproven: UPDATE",
        );
        only(
            with_triggers(Observation { delete: vec![WriteResult::Skipping(1)], ..closed() }),
            Severity::Warning,
            "unproven: DELETE",
        );
        only(
            with_triggers(Observation { give: raised(), ..closed() }),
            Severity::Warning,
            "unproven: UPDATE of an own row",
        );
        only(
            with_triggers(Observation { insert_foreign: raised(), ..closed() }),
            Severity::Warning,
            "unproven: INSERT",
        );
        let known = Observation { give: raised(), insert_foreign: raised(), known: true, ..closed() };
        assert_eq!(found(with_triggers(known)), []);
    }

    #[test]
    fn where_there_was_nobody_to_look_as_nothing_is_proven() {
        only(
            Observation { unpaired: true, ..closed() },
            Severity::Warning,
            "unproven: reading, UPDATE and DELETE of others' rows",
        );
    }

    #[test]
    fn a_tenant_that_follows_from_other_columns_is_proven_only_where_an_own_row_went_in() {
        let derived = |insert_own, insert_foreign| Observation {
            derived: true,
            insert_own,
            insert_foreign,
            ..closed()
        };
        assert_eq!(found(derived(WriteResult::Touched(1), WriteResult::Refused(policy()))), []);
        only(
            derived(WriteResult::Touched(0), WriteResult::Skipped),
            Severity::Warning,
            "it was not found from what the tenant follows",
        );
        only(
            derived(WriteResult::Refused(policy()), WriteResult::Skipped),
            Severity::Warning,
            "its own row is refused",
        );
        only(
            derived(WriteResult::Touched(1), WriteResult::Touched(1)),
            Severity::Error,
            "INSERT a row of another tenant",
        );
        only(
            Observation {
                insert_own: WriteResult::Impossible,
                insert_foreign: WriteResult::Skipped,
                ..closed()
            },
            Severity::Warning,
            "no values are known",
        );
    }

    #[test]
    fn a_row_of_nobody_that_could_not_be_made_is_unproven() {
        let seen = Observation {
            without_tenant: WithoutTenant { untried: true, ..WithoutTenant::default() },
            ..closed()
        };
        only(seen, Severity::Warning, "unproven: reading rows without a tenant");
    }
}
