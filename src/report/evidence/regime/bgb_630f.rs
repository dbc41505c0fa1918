//! The German duty to document a treatment.

use super::{Duty, ENCRYPTION, Elsewhere, Regime};
use crate::report::evidence::proof::{AUDIT, CHANGES, RECOVERY, RETENTION, UNALTERABLE};

pub(super) static REGIME: Regime = Regime {
    name: "630f",
    also: &["§630f", "§ 630f", "BGB-630f", "§630f BGB", "§ 630f BGB"],
    law: "§ 630f BGB, documentation of the treatment (Germany)",
    duties: &[
        Duty {
            title: "The original of an entry stays recognisable beside its change",
            rule: "§ 630f (1) sentences 2 and 3 BGB",
            proofs: &[UNALTERABLE],
        },
        Duty {
            title: "It is known when an entry was changed",
            rule: "§ 630f (1) sentence 2 BGB",
            proofs: &[AUDIT],
        },
        Duty {
            title: "The structure of the file is on record",
            rule: "§ 630f (1) sentence 3 BGB",
            proofs: &[CHANGES],
        },
        Duty {
            title: "The file stays ten years after the treatment ended",
            rule: "§ 630f (3) BGB",
            proofs: &[RETENTION],
        },
        Duty { title: "The file survives a loss in this time", rule: "§ 630f (3) BGB", proofs: &[RECOVERY] },
    ],
    elsewhere: &[
        Elsewhere { title: "Encryption and secrecy", rule: "§ 203 StGB; Art. 32 GDPR", why: ENCRYPTION },
        Elsewhere {
            title: "Everything essential is recorded, close in time to the treatment",
            rule: "§ 630f (1) sentence 1 and (2) BGB",
            why: "What people did not write, or wrote late, is known to them alone.",
        },
        Elsewhere {
            title: "The patient may see the file",
            rule: "§ 630g BGB",
            why: "That is done by people, with the application.",
        },
    ],
};
