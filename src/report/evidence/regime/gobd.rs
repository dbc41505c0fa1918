//! The German principles for keeping books and records electronically.

use super::{Duty, ENCRYPTION, Elsewhere, Regime};
use crate::report::evidence::proof::{AUDIT, CHANGES, RECOVERY, REPEATED, RETENTION, UNALTERABLE};

pub(super) static REGIME: Regime = Regime {
    name: "GoBD",
    also: &[],
    law: "GoBD (BMF-Schreiben of 28 November 2019) with §§ 146 and 147 AO (Germany)",
    duties: &[
        Duty {
            title: "Records cannot be changed so that the original is lost",
            rule: "§ 146 (4) AO; GoBD 3.2.5 and 8, Rz. 58 to 60 and 107 to 112",
            proofs: &[UNALTERABLE],
        },
        Duty { title: "Changes are logged", rule: "§ 146 (4) AO; GoBD 8, Rz. 107 to 112", proofs: &[AUDIT] },
        Duty {
            title: "Programs and structures are on record, version by version",
            rule: "GoBD 10.1 (Verfahrensdokumentation)",
            proofs: &[CHANGES],
        },
        Duty { title: "Data is secured against loss", rule: "GoBD 7 (Datensicherheit)", proofs: &[RECOVERY] },
        Duty {
            title: "Records stay as long as § 147 says",
            rule: "§ 147 (3) AO; GoBD 9 (Aufbewahrung)",
            proofs: &[RETENTION],
        },
        Duty {
            title: "Controls are carried out again and again",
            rule: "GoBD 6 (internes Kontrollsystem)",
            proofs: &[REPEATED],
        },
    ],
    elsewhere: &[
        Elsewhere {
            title: "Encryption and access to the machines",
            rule: "GoBD 7 (Datensicherheit)",
            why: ENCRYPTION,
        },
        Elsewhere {
            title: "Entries are complete, correct, timely and in order",
            rule: "§ 146 (1) AO; GoBD 3.2",
            why: "What people did not write is in no table.",
        },
        Elsewhere {
            title: "The tax authority can read the data",
            rule: "§ 147 (6) AO; GoBD 11 (Datenzugriff)",
            why: "That is a matter of rights and formats outside of the schema.",
        },
        Elsewhere {
            title: "The procedure as a whole is documented",
            rule: "GoBD 10.1 (Verfahrensdokumentation)",
            why: "Migrations and reports are a part of it, and no more.",
        },
    ],
};
