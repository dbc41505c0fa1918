//! How large the next batch is, and how fast they go. A batch that takes long holds its row locks for long; a
//! short one costs its transaction.

use std::time::{Duration, Instant};

/// How long a batch is to take.
const AIM: Duration = Duration::from_millis(200);
/// The rows of the first batch, of which it is not known how long it takes.
const FIRST: u32 = 1000;

/// Of one attempt at a statement.
#[derive(Debug)]
pub(super) struct Pace {
    /// The rows of the next batch.
    pub(super) rows: u32,
    most: u32,
    began: Instant,
    passed: u64,
}

impl Pace {
    /// That of a statement whose batches have at most so many rows.
    pub(super) fn of(most: u32) -> Self {
        Self { rows: most.min(FIRST), most, began: Instant::now(), passed: 0 }
    }

    /// A batch took so long, with all that belongs to it.
    pub(super) fn took(&mut self, time: Duration) {
        self.passed += u64::from(self.rows);
        self.rows = next(self.rows, self.most, time);
    }

    /// Another session held a row for long: fewer rows at a time meet fewer others.
    pub(super) fn yields(&mut self) {
        self.rows = (self.rows / 2).max(1);
    }

    /// How many rows a second, pauses included; none before the first batch.
    pub(super) fn per_second(&self) -> Option<u64> {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.passed > 0).then(|| self.passed.saturating_mul(1000) / millis.max(1))
    }
}

/// Twice or half as many rows at most, so that one batch that had to wait does not decide the next. PURE.
fn next(rows: u32, most: u32, time: Duration) -> u32 {
    let (aim, time) = (AIM.as_micros(), time.as_micros().max(1));
    let rows = u128::from(rows);
    let next = (rows * aim / time).clamp(rows / 2, rows * 2).clamp(1, u128::from(most.max(1)));
    u32::try_from(next).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_moves_toward_200_ms_a_batch_and_stays_within_its_bounds() {
        let next = |rows, millis| next(rows, 10_000, Duration::from_millis(millis));
        assert_eq!(next(1000, 10), 2000, "not more than twice as many");
        assert_eq!(next(8000, 10), 10_000, "not more than the directive says");
        assert_eq!(next(1000, 250), 800);
        assert_eq!(next(1000, 60_000), 500, "not less than half as many");
        assert_eq!(next(1, 60_000), 1);
        assert_eq!(next(1000, 200), 1000);
    }

    #[test]
    fn a_small_batch_is_never_made_larger_and_a_lock_wait_halves_it() {
        let mut pace = Pace::of(10);
        assert_eq!((pace.rows, pace.per_second()), (10, None));
        pace.took(Duration::from_millis(1));
        assert_eq!(pace.rows, 10);
        assert!(pace.per_second().is_some());
        for rows in [5, 2, 1, 1] {
            pace.yields();
            assert_eq!(pace.rows, rows);
        }
    }
}
