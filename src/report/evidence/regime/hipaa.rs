//! The security rule of the United States for electronic protected health information.

use super::{Duty, ENCRYPTION, Elsewhere, PEOPLE, Regime};
use crate::report::evidence::proof::{AUDIT, CHANGES, ISOLATION, RECOVERY, REPEATED, SOUND, UNALTERABLE};

pub(super) static REGIME: Regime = Regime {
    name: "HIPAA",
    also: &[],
    law: "HIPAA Security Rule, 45 CFR Part 164, Subpart C (United States)",
    duties: &[
        Duty {
            title: "Access control: only those who were granted it",
            rule: "45 CFR 164.312(a)(1)",
            proofs: &[ISOLATION],
        },
        Duty { title: "Audit controls: activity is recorded", rule: "45 CFR 164.312(b)", proofs: &[AUDIT] },
        Duty {
            title: "Integrity: no improper alteration or destruction",
            rule: "45 CFR 164.312(c)(1)",
            proofs: &[SOUND, CHANGES],
        },
        Duty {
            title: "A mechanism that notices alteration",
            rule: "45 CFR 164.312(c)(2)",
            proofs: &[UNALTERABLE],
        },
        Duty { title: "Retrievable exact copies", rule: "45 CFR 164.308(a)(7)(ii)(A)", proofs: &[RECOVERY] },
        Duty { title: "Periodic technical evaluation", rule: "45 CFR 164.308(a)(8)", proofs: &[REPEATED] },
    ],
    elsewhere: &[
        Elsewhere { title: "Encryption at rest", rule: "45 CFR 164.312(a)(2)(iv)", why: ENCRYPTION },
        Elsewhere { title: "Encryption in transit", rule: "45 CFR 164.312(e)", why: ENCRYPTION },
        Elsewhere {
            title: "Users and systems are who they say",
            rule: "45 CFR 164.312(a)(2)(i) and (d)",
            why: PEOPLE,
        },
        Elsewhere {
            title: "Documentation is kept for six years",
            rule: "45 CFR 164.316(b)(2)(i)",
            why: "Keep these reports with it; nobody here knows where they are kept.",
        },
        Elsewhere {
            title: "Somebody reads the records of activity",
            rule: "45 CFR 164.308(a)(1)(ii)(D)",
            why: "That a table is filled says nothing about who reads it.",
        },
    ],
};
