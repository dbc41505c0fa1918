//! The sections `snapshot`, `apply` and `verify`, which a run carries out: does it have to, and for what? PURE.

use super::{
    again,
    decision::Decision,
    gates, required,
    run::{
        course::{self, Beginning},
        own,
        record::has_a_verdict,
    },
    situation::Situation,
};
use crate::api::{Class, ConditionType, Reason};

/// The run that the facts ask for has ended, and another one would change nothing.
pub fn is_settled(situation: &Situation) -> Option<Decision> {
    let (run, reason) = situation.runs.concluded()?;
    if reason == Reason::Verified {
        return Some(again::on_demand(situation, again::on_schedule(situation, verified(situation))));
    }
    if reason.class() != Class::NeedsUser {
        return None;
    }
    let message = situation.runs.failure();
    if situation.facts.by_hand {
        return Some(Decision::stalled(reason, format!("{message} (correct it, then run it again)")));
    }
    let until = "the source, the spec or the annotation sluice.dev/retry changes";
    let remedy = match again::interval(situation.facts) {
        Some(every) if has_a_verdict(run) => {
            format!("Sluice verifies it again every {every}, and nothing else runs until {until}")
        }
        // The Job's name changes with each verification, and the message should not.
        _ => format!("run {}; nothing runs again until {until}", run.job),
    };
    Some(again::on_schedule(situation, Decision::stalled(reason, format!("{message} ({remedy})"))))
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
