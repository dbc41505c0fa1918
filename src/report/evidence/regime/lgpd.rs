//! Brazil's general law on the protection of personal data.

use super::{Duty, ENCRYPTION, Elsewhere, PEOPLE, Regime};
use crate::report::evidence::proof::{AUDIT, CHANGES, ISOLATION, RECOVERY, REPEATED, SOUND};

pub(super) static REGIME: Regime = Regime {
    name: "LGPD",
    also: &[],
    law: "Lei Geral de Proteção de Dados Pessoais, Lei nº 13.709/2018 (Brazil)",
    duties: &[
        Duty {
            title: "Nobody reaches data that is not theirs",
            rule: "Art. 6, VII; Art. 46",
            proofs: &[ISOLATION],
        },
        Duty {
            title: "Data stays correct and references lead somewhere",
            rule: "Art. 6, V",
            proofs: &[SOUND],
        },
        Duty {
            title: "The system is structured as it was designed, and stays so",
            rule: "Art. 46, § 2; Art. 49",
            proofs: &[CHANGES],
        },
        Duty { title: "Processing is recorded", rule: "Art. 37", proofs: &[AUDIT] },
        Duty { title: "Data survives accidental loss", rule: "Art. 6, VII; Art. 46", proofs: &[RECOVERY] },
        Duty { title: "The measures are shown to work", rule: "Art. 6, X", proofs: &[REPEATED] },
    ],
    elsewhere: &[
        Elsewhere { title: "Encryption at rest and in transit", rule: "Art. 46", why: ENCRYPTION },
        Elsewhere {
            title: "A legal basis for sensitive data, which health data is",
            rule: "Art. 5, II; Art. 11",
            why: "A table of consents shows that there is a place for them, not that they were given.",
        },
        Elsewhere {
            title: "Data ends when its purpose does",
            rule: "Art. 15 and 16",
            why: "Which purpose has ended is a decision of people.",
        },
        Elsewhere {
            title: "Incidents are reported",
            rule: "Art. 48",
            why: "That is a matter of people and of the authority.",
        },
        Elsewhere { title: "Users are who they say", rule: "Art. 46", why: PEOPLE },
    ],
};
