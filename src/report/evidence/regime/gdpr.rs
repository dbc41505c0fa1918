//! The European Union's general regulation on the protection of data, in German DSGVO.

use super::{Duty, ENCRYPTION, Elsewhere, PEOPLE, Regime};
use crate::report::evidence::proof::{CHANGES, ISOLATION, RECOVERY, REPEATED, RETENTION, SOUND};

pub(super) static REGIME: Regime = Regime {
    name: "GDPR",
    also: &["DSGVO"],
    law: "General Data Protection Regulation (DSGVO), Regulation (EU) 2016/679",
    duties: &[
        Duty {
            title: "Confidentiality: nobody reaches what is not theirs",
            rule: "Art. 5(1)(f); Art. 32(1)(b)",
            proofs: &[ISOLATION],
        },
        Duty {
            title: "Data is accurate, and references lead somewhere",
            rule: "Art. 5(1)(d)",
            proofs: &[SOUND],
        },
        Duty {
            title: "Integrity of the system, by design",
            rule: "Art. 25(1); Art. 32(1)(b)",
            proofs: &[CHANGES],
        },
        Duty { title: "Data is kept no longer than needed", rule: "Art. 5(1)(e)", proofs: &[RETENTION] },
        Duty { title: "Availability can be restored", rule: "Art. 32(1)(c)", proofs: &[RECOVERY] },
        Duty { title: "The measures are tested regularly", rule: "Art. 32(1)(d)", proofs: &[REPEATED] },
    ],
    elsewhere: &[
        Elsewhere { title: "Pseudonymisation and encryption", rule: "Art. 32(1)(a)", why: ENCRYPTION },
        Elsewhere {
            title: "A lawful basis, and the conditions for health data",
            rule: "Art. 6; Art. 9",
            why: "A table of consents shows that there is a place for them, not that they were given.",
        },
        Elsewhere {
            title: "Records of processing activities",
            rule: "Art. 30",
            why: "They describe purposes and recipients, which no schema knows.",
        },
        Elsewhere { title: "Users act on instructions only", rule: "Art. 29; Art. 32(4)", why: PEOPLE },
    ],
};
