//! Brazil's agency of health surveillance: good practice of health services, as far as records of patients
//! are concerned.

use super::{Duty, ENCRYPTION, Elsewhere, PEOPLE, Regime};
use crate::report::evidence::proof::{AUDIT, CHANGES, ISOLATION, RECOVERY, RETENTION, SOUND};

pub(super) static REGIME: Regime = Regime {
    name: "ANVISA",
    also: &["RDC 63/2011"],
    law: "ANVISA, Resolução RDC nº 63/2011, good practice of health services (Brazil)",
    duties: &[
        Duty {
            title: "Records of patients are kept confidential",
            rule: "Art. 25, § 1",
            proofs: &[ISOLATION],
        },
        Duty {
            title: "Records of patients keep their integrity",
            rule: "Art. 25, § 1",
            proofs: &[SOUND, CHANGES],
        },
        Duty {
            title: "Records are safe and can be reached when they are needed",
            rule: "Art. 25, § 2",
            proofs: &[RECOVERY],
        },
        Duty {
            title: "Records are kept as long as the rules in force say",
            rule: "Art. 25",
            proofs: &[RETENTION],
        },
        Duty { title: "What was done is recorded", rule: "Art. 26", proofs: &[AUDIT] },
    ],
    elsewhere: &[
        Elsewhere { title: "Encryption at rest and in transit", rule: "Art. 25, § 1", why: ENCRYPTION },
        Elsewhere {
            title: "Records are complete, legible and signed by whoever attended",
            rule: "Art. 24, 26 and 27",
            why: "What people write is known to them alone.",
        },
        Elsewhere { title: "Users are who they say", rule: "Art. 25, § 1", why: PEOPLE },
    ],
};
