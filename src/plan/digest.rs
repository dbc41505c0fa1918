//! What a run was created for: the digest of the spec and its source. PURE.

use sha2::{Digest as _, Sha256};

use super::facts::{Facts, SourceFact};

/// The bytes of a digest: as many as fit into a label, and too many for an attacker to find a spec with the
/// digest of another one.
const BYTES: usize = 30;
/// The digest of the run that the facts ask for; `None` while the source is not known.
pub fn desired(facts: &Facts) -> Option<String> {
    let SourceFact::Found { revision } = &facts.source else {
        return None;
    };
    let mut hash = Sha256::new();
    // Each part behind its length, so that no two sets of parts read the same.
    for part in [&facts.uid, &facts.spec, revision, facts.retry.as_deref().unwrap_or_default()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    Some(hash.finalize().iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::facts;

    #[test]
    fn whatever_asks_for_another_run_changes_the_digest() {
        let before = desired(&facts());
        let mut changed = vec![facts(), facts(), facts(), facts()];
        changed[0].uid = "another".into();
        changed[1].spec = "another".into();
        changed[2].source = SourceFact::Found { revision: "another".into() };
        changed[3].retry = Some("again".into());
        for facts in &changed {
            assert_ne!(desired(facts), before);
        }
    }

    #[test]
    fn a_source_that_is_not_there_asks_for_no_run() {
        let missing =
            Facts { source: SourceFact::Missing { names: vec!["records-migrations".into()] }, ..facts() };
        assert_eq!(desired(&missing), None);
    }

    #[test]
    fn a_digest_is_a_label() {
        assert!(desired(&facts()).is_some_and(|digest| digest.len() == 2 * BYTES && digest.len() <= 63));
    }
}
