//! Makes a story that fails smaller: takes out every event without which the same invariant still fails.

use super::{Verdict, story::Story, verdict};

/// The smallest story that was found, and how it fails.
pub fn smallest(story: &Story, found: Verdict) -> (Story, Verdict) {
    let (mut story, mut found) = (story.clone(), found);
    loop {
        let before = story.events.len();
        let mut at = story.events.len();
        while at > 0 {
            at -= 1;
            let mut shorter = story.clone();
            shorter.events.remove(at);
            let again = verdict(&shorter, true);
            if again.fails_as(&found) {
                (story, found) = (shorter, again);
                at = at.min(story.events.len());
            }
        }
        if story.events.len() == before {
            return (story, found);
        }
    }
}
