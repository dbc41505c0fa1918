//! Which snapshots stay. PURE: the decision only; [`super::volume`] carries it out.

use jiff::{SignedDuration, Timestamp};

use crate::api::Keep;

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Existing {
    /// Its folder's name.
    pub(super) name: String,
    /// When it was taken.
    pub(super) taken_at: Timestamp,
}

/// The names of those that need not stay: neither among the last ones nor young enough. `newer` snapshots
/// that are not in the list already count among the last ones.
pub(super) fn expired<'a>(
    existing: &'a [Existing],
    keep: &Keep,
    newer: usize,
    now: Timestamp,
) -> Vec<&'a str> {
    let mut newest_first: Vec<_> = existing.iter().collect();
    newest_first.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| b.name.cmp(&a.name)));
    let last = usize::try_from(keep.last).unwrap_or(usize::MAX).saturating_sub(newer);
    let young = SignedDuration::from_hours(24 * i64::from(keep.days));
    newest_first
        .into_iter()
        .skip(last)
        .filter(|snapshot| now.duration_since(snapshot.taken_at) >= young)
        .map(|s| s.name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * n)
    }

    /// One snapshot a day, named after the day.
    fn days(range: std::ops::RangeInclusive<i64>) -> Vec<Existing> {
        range.map(|n| Existing { name: format!("day-{n}"), taken_at: day(n) }).collect()
    }

    #[test]
    fn the_last_ones_stay_however_old_they_are() {
        let existing = days(1..=5);
        assert_eq!(expired(&existing, &Keep { last: 3, days: 0 }, 0, day(1000)), ["day-2", "day-1"]);
        assert!(expired(&existing, &Keep { last: 5, days: 0 }, 0, day(1000)).is_empty());
    }

    #[test]
    fn young_ones_stay_however_many_there_are() {
        let existing = days(1..=40);
        assert_eq!(
            expired(&existing, &Keep { last: 1, days: 30 }, 0, day(40)),
            ["day-10", "day-9", "day-8", "day-7", "day-6", "day-5", "day-4", "day-3", "day-2", "day-1"]
        );
    }

    #[test]
    fn the_one_just_taken_counts_and_is_never_named() {
        let existing = days(1..=3);
        assert_eq!(expired(&existing, &Keep { last: 3, days: 0 }, 1, day(4)), ["day-1"]);
        assert_eq!(expired(&existing, &Keep { last: 1, days: 0 }, 1, day(4)), ["day-3", "day-2", "day-1"]);
    }

    #[test]
    fn one_from_the_future_is_young() {
        let existing = days(50..=50);
        assert!(expired(&existing, &Keep { last: 1, days: 30 }, 1, day(4)).is_empty());
    }

    #[test]
    fn the_order_of_the_folder_does_not_matter() {
        let mut existing = days(1..=6);
        existing.reverse();
        existing.swap(1, 4);
        assert_eq!(expired(&existing, &Keep { last: 4, days: 2 }, 0, day(7)), ["day-2", "day-1"]);
    }
}
