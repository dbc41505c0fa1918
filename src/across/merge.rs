//! Two sorted streams of keys side by side, a batch of each at a time: which keys of the one are missing in
//! the other. PURE.

use std::collections::VecDeque;

/// One column of a key, in the order in which both databases sort it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Whole numbers, sorted as such.
    Number(i64),
    /// Anything else as text, sorted by its bytes.
    Text(String),
}

/// The columns of a key.
pub(crate) type Key = Vec<Part>;

/// What is needed to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The next keys that refer.
    Referring,
    /// The next keys that are referred to.
    Referred,
    /// Nothing: the answer is known.
    Nothing,
}

/// A stream is not sorted as it must be, so that its neighbours cannot be told from what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

/// One of the two streams: the keys that were read and not compared yet.
#[derive(Debug, Default)]
struct Side {
    waiting: VecDeque<Key>,
    last: Option<Key>,
    ended: bool,
}

impl Side {
    /// An empty batch is the end.
    fn take(&mut self, batch: Vec<Key>) -> Result<(), OutOfOrder> {
        self.ended = batch.is_empty();
        for key in batch {
            if self.last.as_ref().is_some_and(|last| *last > key) {
                return Err(OutOfOrder);
            }
            self.last = Some(key.clone());
            self.waiting.push_back(key);
        }
        Ok(())
    }
}

/// The comparison. It holds no more than one batch of each stream, and the first few keys that are missing.
#[derive(Debug)]
pub(crate) struct Merge {
    referring: Side,
    referred: Side,
    /// After so many missing rows nothing more is read.
    most: u64,
    shown: usize,
    /// Rows whose key is missing.
    pub(crate) missing: u64,
    /// The first different keys that are missing.
    pub(crate) first: Vec<Key>,
    /// The most keys that were held at once.
    pub(crate) held: usize,
}

impl Merge {
    pub(crate) fn new(most: u64, shown: usize) -> Self {
        Self {
            referring: Side::default(),
            referred: Side::default(),
            most,
            shown,
            missing: 0,
            first: Vec::new(),
            held: 0,
        }
    }

    /// The next batch of what [`need`](Self::need) asked for.
    pub(crate) fn give(&mut self, need: Need, batch: Vec<Key>) -> Result<(), OutOfOrder> {
        let side = if need == Need::Referring { &mut self.referring } else { &mut self.referred };
        side.take(batch)?;
        self.held = self.held.max(self.referring.waiting.len() + self.referred.waiting.len());
        Ok(())
    }

    /// Compares as far as the keys reach, and says what is needed to go on.
    pub(crate) fn need(&mut self) -> Need {
        while self.missing <= self.most {
            let Some(key) = self.referring.waiting.front() else {
                return if self.referring.ended { Need::Nothing } else { Need::Referring };
            };
            while self.referred.waiting.front().is_some_and(|other| other < key) {
                self.referred.waiting.pop_front();
            }
            match self.referred.waiting.front() {
                None if !self.referred.ended => return Need::Referred,
                Some(other) if other == key => {}
                _ => {
                    self.missing += 1;
                    if self.first.len() < self.shown && self.first.last() != Some(key) {
                        self.first.push(key.clone());
                    }
                }
            }
            self.referring.waiting.pop_front();
        }
        Need::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: i64) -> Key {
        vec![Part::Number(number)]
    }

    /// Compares two sorted lists in batches of this size.
    fn merged(
        referring: &mut dyn Iterator<Item = Key>,
        referred: &mut dyn Iterator<Item = Key>,
        batch: usize,
    ) -> Merge {
        let mut merge = Merge::new(1000, 3);
        loop {
            let need = merge.need();
            let source: &mut dyn Iterator<Item = Key> = match need {
                Need::Referring => &mut *referring,
                Need::Referred => &mut *referred,
                Need::Nothing => return merge,
            };
            merge.give(need, source.take(batch).collect()).expect("the lists are sorted");
        }
    }

    /// xorshift, so that a failure can be repeated.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn what_a_set_says_is_what_the_merge_says_for_two_thousand_random_pairs_of_lists() {
        let mut state = 7;
        for round in 0..2000 {
            let mut list = |most: u64| -> Vec<i64> {
                let mut keys: Vec<_> = (0..random(&mut state) % 40)
                    .map(|_| i64::try_from(random(&mut state) % most).expect("small"))
                    .collect();
                keys.sort_unstable();
                keys
            };
            let (referring, referred) = (list(30), list(30));
            let batch = 1 + usize::try_from(round % 7).expect("small");
            let merge = merged(
                &mut referring.iter().map(|key| number(*key)),
                &mut referred.iter().map(|key| number(*key)),
                batch,
            );
            let missing: Vec<_> = referring.iter().filter(|key| !referred.contains(key)).collect();
            let mut first: Vec<Key> = missing.iter().map(|key| number(**key)).collect();
            first.dedup();
            first.truncate(3);
            assert_eq!(
                (merge.missing, &merge.first),
                (missing.len() as u64, &first),
                "{referring:?} in {referred:?}, batches of {batch}"
            );
        }
    }

    #[test]
    fn a_million_keys_are_compared_and_two_batches_held() {
        let mut referring = (0..1_000_000).map(number);
        let mut referred = (0..1_000_000).filter(|key| key % 250_000 != 1).map(number);
        let merge = merged(&mut referring, &mut referred, 2000);
        assert_eq!((merge.missing, merge.first), (4, vec![number(1), number(250_001), number(500_001)]));
        assert!(merge.held <= 4000, "{} keys at once", merge.held);
    }

    #[test]
    fn a_stream_that_is_sorted_in_another_way_is_no_answer() {
        let mut merge = Merge::new(1000, 3);
        let text = |text: &str| vec![Part::Text(text.to_owned())];
        assert_eq!(merge.give(Need::Referred, vec![text("B"), text("a")]), Ok(()));
        assert_eq!(merge.give(Need::Referred, vec![text("C")]), Err(OutOfOrder));
    }

    #[test]
    fn reading_ends_when_too_many_are_missing() {
        let mut endless = (0..).map(number);
        assert_eq!(merged(&mut endless, &mut std::iter::empty(), 100).missing, 1001);
    }
}
