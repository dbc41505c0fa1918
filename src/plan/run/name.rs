//! What the Job of a run is called. PURE.
//!
//! The name is a function of the object, what the run is for, the attempt and the leg, so creating a Job twice
//! creates it once.

use crate::contract::Leg;

/// So much of a digest stands in a Job's name. Two digests may share it; what a run was for is compared
/// whole.
const NAMED: usize = 8;
/// What stands before the number of a leg.
const LEG: &str = "-l";

/// The Job of one leg of one attempt. The first leg, which most routes have alone, is not named.
pub fn job_name(migration: &str, digest: &str, attempt: u32, leg: Leg) -> String {
    numbered(migration, digest, attempt, leg.number())
}

fn numbered(migration: &str, digest: &str, attempt: u32, leg: u32) -> String {
    let leg = if leg > 1 { format!("{LEG}{leg}") } else { String::new() };
    format!("{migration}-{}-a{attempt}{leg}", named(digest))
}

fn named(digest: &str) -> &str {
    digest.get(..NAMED).unwrap_or(digest)
}

/// Which attempt at `digest`, or at another one that is named alike, a Job's name speaks of, whichever leg of
/// it that Job is.
pub fn attempt_in(job: &str, migration: &str, digest: &str) -> Option<u32> {
    place_in(job, migration, digest).map(|(attempt, _)| attempt)
}

/// The same, and the number of the leg.
pub fn place_in(job: &str, migration: &str, digest: &str) -> Option<(u32, u32)> {
    let attempt =
        job.strip_prefix(migration)?.strip_prefix('-')?.strip_prefix(named(digest))?.strip_prefix("-a")?;
    let (attempt, leg) = attempt.split_once(LEG).unwrap_or((attempt, "1"));
    Some((attempt.parse().ok()?, leg.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Purpose;

    #[test]
    fn the_longest_name_makes_a_job_name_that_kubernetes_accepts() {
        let longest =
            |attempt, leg| numbered(&"n".repeat(45), &"01234567".repeat(8), attempt, leg).len() <= 63;
        assert!(longest(9_999_999, 1) && longest(9_999, 2));
    }

    #[test]
    fn the_attempt_reads_back_from_the_name() {
        let job = job_name("records", "0123abcd", 12, Purpose::Apply.route().first());
        assert_eq!(job, "records-0123abcd-a12");
        assert_eq!(attempt_in(&job, "records", "0123abcd"), Some(12));
        assert_eq!(attempt_in(&job, "records", "ffffffff"), None);
        assert_eq!(attempt_in("records-0123abcd-ax", "records", "0123abcd"), None);
        assert_eq!(attempt_in("records-0123abcd-a1-lx", "records", "0123abcd"), None);
    }

    #[test]
    fn the_legs_of_an_attempt_have_names_of_their_own_and_the_same_attempt() {
        let [first, second] = [1, 2].map(|leg| numbered("records", "0123abcd", 12, leg));
        assert_ne!(first, second);
        assert_eq!(place_in(&first, "records", "0123abcd"), Some((12, 1)));
        assert_eq!(place_in(&second, "records", "0123abcd"), Some((12, 2)));
    }
}
