//! Rules of Brazil's federal council of medicine for electronic records of patients, with the law they stand
//! beside.

use super::{Duty, ENCRYPTION, Elsewhere, PEOPLE, Regime};
use crate::report::evidence::proof::{AUDIT, CHANGES, ISOLATION, RECOVERY, RETENTION, UNALTERABLE};

pub(super) static REGIME: Regime = Regime {
    name: "CFM",
    also: &["CFM 1.821/2007"],
    law: "Resolução CFM nº 1.821/2007 and Lei nº 13.787/2018 (Brazil)",
    duties: &[
        Duty {
            title: "Records are protected from unauthorised access and use",
            rule: "Lei 13.787/2018, Art. 4",
            proofs: &[ISOLATION],
        },
        Duty {
            title: "Records are protected from unauthorised change",
            rule: "Lei 13.787/2018, Art. 2 and 4",
            proofs: &[UNALTERABLE, CHANGES],
        },
        Duty {
            title: "It is known who wrote and who read",
            rule: "Resolução CFM 1.821/2007, Art. 3 (NGS2)",
            proofs: &[AUDIT],
        },
        Duty {
            title: "Records are protected from destruction",
            rule: "Lei 13.787/2018, Art. 4",
            proofs: &[RECOVERY],
        },
        Duty {
            title: "Records stay at least 20 years after the last entry",
            rule: "Lei 13.787/2018, Art. 6; Resolução CFM 1.821/2007, Art. 7 and 8",
            proofs: &[RETENTION],
        },
    ],
    elsewhere: &[
        Elsewhere {
            title: "Encryption at rest and in transit",
            rule: "Resolução CFM 1.821/2007, Art. 3 (NGS2)",
            why: ENCRYPTION,
        },
        Elsewhere {
            title: "Digital signatures with a certificate of ICP-Brasil",
            rule: "Resolução CFM 1.821/2007, Art. 3 (NGS2)",
            why: "A signature is checked with its certificate, not with the catalog.",
        },
        Elsewhere {
            title: "The system as a whole fulfils NGS2",
            rule: "Resolução CFM 1.821/2007, Art. 3",
            why: "The manual of certification asks for much more than a database.",
        },
        Elsewhere {
            title: "Users are who they say",
            rule: "Resolução CFM 1.821/2007, Art. 3 (NGS2)",
            why: PEOPLE,
        },
    ],
};
