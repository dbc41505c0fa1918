//! The sections `snapshot`, `apply` and `verify`, which a run carries out: does it have to, and for what? PURE.

use super::{
    again, before,
    decision::Decision,
    gates, held, required,
    run::{
        course::{self, Beginning},
        own,
        record::has_a_verdict,
        stopped,
    },
    situation::Situation,
};
use crate::{
    api::{Class, ConditionType, Reason, RunStatus},
    contract::Purpose,
};

/// What begins another run after one that a person has to see.
const UNTIL: &str = "the source, the spec or the annotation sluice.dev/retry changes";

/// The run that the facts ask for has ended, and another one would change nothing.
pub fn is_settled(situation: &Situation) -> Option<Decision> {
    let (run, reason) = situation.runs.concluded()?;
    if reason == Reason::Verified {
        if runs_what_was_held(situation, run) {
            return None;
        }
        let ready = held::until_due(situation, run, verified(situation));
        return Some(again::on_demand(situation, again::on_schedule(situation, ready)));
    }
    if reason.is_stop() {
        return None;
    }
    let message = situation.runs.failure();
    if reason.class() != Class::NeedsUser {
        let (made, most) = attempts_are_over(situation, run)?;
        let message = format!(
            "{message} ({made} of {most} attempts (spec.apply.attempts) have failed; nothing runs again until \
                {UNTIL})"
        );
        return Some(Decision::stalled(reason, message));
    }
    if situation.facts.by_hand {
        return Some(Decision::stalled(reason, format!("{message} (correct it, then run it again)")));
    }
    let remedy = match again::interval(situation.facts) {
        Some(every) if has_a_verdict(run) => {
            format!("Sluice verifies it again every {every}, and nothing else runs until {UNTIL}")
        }
        // The Job's name changes with each verification, and the message should not.
        _ => format!("run {}; nothing runs again until {UNTIL}", run.job),
    };
    Some(again::on_schedule(situation, Decision::stalled(reason, format!("{message} ({remedy})"))))
}

/// How many attempts were made and how many may be, where no more is. A verification that is only repeated changes
/// nothing and hurts no client, so it is not counted.
fn attempts_are_over(situation: &Situation, run: &RunStatus) -> Option<(u32, u32)> {
    let most = situation.facts.migration.as_ref().ok()?.attempts?;
    let counts = !situation.facts.by_hand && again::purpose(situation) == Purpose::Apply;
    let verified = situation.runs.last_verified(&run.digest).unwrap_or(0);
    let made = run.attempt.saturating_sub(verified).saturating_sub(situation.runs.paused(&run.digest));
    (counts && made >= most).then_some((made, most))
}

/// What is held may run, and nothing is in the way of a run: until then the object stays Ready.
fn runs_what_was_held(situation: &Situation, run: &RunStatus) -> bool {
    let waits: [fn(&Situation) -> Option<Decision>; 5] = [
        before::is_not_suspended,
        |situation| stopped::is_not_paused(&situation.runs),
        before::dependencies_are_ready,
        before::database_is_free,
        gates::are_open,
    ];
    let is_free = || waits.iter().all(|section| section(situation).is_none());
    held::is_due(situation, run) && !situation.runs.occupied() && is_free()
}

/// Ready, and at which version; or with a source that is older than that.
fn verified(situation: &Situation) -> Decision {
    let planned = situation.runs.record.sections.get(ConditionType::Planned);
    if let Some(planned) = planned.filter(|planned| planned.reason == Reason::DatabaseAhead) {
        return Decision::idle(Reason::DatabaseAhead, planned.message.clone());
    }
    let message = match &situation.status.current_version {
        Some(version) => format!("{version} is applied and verified"),
        None => "the source has no migration; the schema is verified".to_owned(),
    };
    let message = match &situation.status.held {
        Some(held) => format!("{message}; {}", held.message),
        None => message,
    };
    match own::strangers(&situation.runs.known, situation.runs.record.remembered()) {
        Some(strangers) => Decision::idle(Reason::Verified, format!("{message}. {strangers}")),
        None => Decision::idle(Reason::Verified, message),
    }
}

/// Starts the next attempt.
pub fn starts(situation: &Situation) -> Decision {
    let purpose = again::purpose(situation);
    let leg = situation.runs.next_leg(purpose);
    let end = gates::end(situation, leg);
    let required = required::asked(situation.facts, &situation.status);
    course::starts(&situation.runs, Beginning { purpose, leg, end, required })
}
