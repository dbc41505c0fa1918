//! When the next attempt begins. PURE: the jitter comes from the object's uid, not from chance.

use jiff::{SignedDuration, Timestamp};

/// The pause after the first attempt; it doubles with each one.
const FIRST: SignedDuration = SignedDuration::from_secs(2);
/// The longest pause, jitter not counted.
const LONGEST: SignedDuration = SignedDuration::from_mins(2);

/// How long to pause after an attempt: 2 s, 4 s, 8 s … 2 min, and up to a quarter more so that many objects
/// that failed at the same moment do not come back at the same moment.
pub fn pause(attempt: u32, uid: &str) -> SignedDuration {
    let doubled =
        FIRST.saturating_mul(1_i32.checked_shl(attempt.saturating_sub(1).min(30)).unwrap_or(i32::MAX));
    let base = doubled.min(LONGEST);
    let share: u32 = uid.bytes().fold(0, |sum, byte| (sum * 31 + u32::from(byte)) % 256);
    let jitter = base.as_millis() / 4 * i128::from(share) / 256;
    base + SignedDuration::from_millis(i64::try_from(jitter).unwrap_or(0))
}

/// What is left of the pause; `None` when it is over. A moment before the end itself means that the clock was
/// set back: what is left of a pause is not known then, and it is over.
pub fn left(ended: Timestamp, attempt: u32, uid: &str, now: Timestamp) -> Option<std::time::Duration> {
    if now < ended {
        return None;
    }
    let until = ended.saturating_add(pause(attempt, uid)).ok()?;
    std::time::Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stop_growing_at_two_minutes() {
        let seconds: Vec<i64> = (1..=8).map(|attempt| pause(attempt, "").as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(pause(u32::MAX, "").as_secs(), 120);
    }

    #[test]
    fn the_jitter_is_the_same_each_time_and_at_most_a_quarter() {
        for uid in ["a", "0d1f", "4b825dc6-42cb"] {
            assert_eq!(pause(3, uid), pause(3, uid));
            assert!((8_000..=10_000).contains(&pause(3, uid).as_millis()));
        }
        assert_ne!(pause(3, "a"), pause(3, "b"));
    }

    #[test]
    fn a_pause_ends() {
        let ended = Timestamp::from_second(1_000_000).expect("a moment");
        assert_eq!(left(ended, 1, "", ended).map(|left| left.as_secs()), Some(2));
        assert_eq!(left(ended, 1, "", ended + SignedDuration::from_secs(2)), None);
        assert_eq!(left(ended, 1, "", ended + SignedDuration::from_hours(2)), None);
    }
}
