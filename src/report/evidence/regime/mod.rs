//! The regimes, one file each, for a lawyer to read: duties with the article they come from and what proves
//! them, and what no schema can prove. A new one is a file, a line in [`TEXTS`] and its name.

use std::sync::LazyLock;

use serde::Deserialize;

use super::proof::Grounds;

/// A law, or another set of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regime {
    /// As it is asked for.
    pub name: String,
    /// Other names for it.
    pub(super) also: Vec<String>,
    /// Its full name.
    pub law: String,
    /// The duties that a schema can prove.
    pub(super) duties: Vec<Duty>,
    /// The duties that it cannot.
    pub(super) elsewhere: Vec<Elsewhere>,
}

/// A duty and what proves it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Duty {
    /// What must be true, in a few words.
    pub(super) title: String,
    /// Where it is written.
    pub(super) rule: String,
    /// All of these must be there.
    pub(super) proofs: Vec<Grounds>,
}

/// A duty that no schema can prove.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Elsewhere {
    pub(super) title: String,
    pub(super) rule: String,
    /// Why it cannot be seen here: `encryption` and `people` stand for a sentence that several share.
    why: String,
}

impl Elsewhere {
    pub(super) fn why(&self) -> &str {
        match self.why.as_str() {
            "encryption" => ENCRYPTION,
            "people" => PEOPLE,
            why => why,
        }
    }
}

const TEXTS: [&str; 7] = [
    include_str!("lgpd.yaml"),
    include_str!("cfm.yaml"),
    include_str!("anvisa.yaml"),
    include_str!("hipaa.yaml"),
    include_str!("gdpr.yaml"),
    include_str!("gobd.yaml"),
    include_str!("bgb_630f.yaml"),
];

static ALL: LazyLock<Vec<Regime>> = LazyLock::new(|| {
    let read = |text| serde_saphyr::from_str(text).expect("a test reads every regime");
    TEXTS.into_iter().map(read).collect()
});

/// The names of all regimes, in the order of their list.
pub const NAMES: [&str; 7] = ["LGPD", "CFM", "ANVISA", "HIPAA", "GDPR", "GoBD", "630f"];

/// The regime of a name, in capitals or not.
pub fn named(name: &str) -> Option<&'static Regime> {
    let is = |known: &String| known.eq_ignore_ascii_case(name.trim());
    ALL.iter().find(|regime| is(&regime.name) || regime.also.iter().any(is))
}

const ENCRYPTION: &str = "A catalog does not know whether disks, snapshots and connections are encrypted: \
    look at the storage class, at \
                          pg_hba.conf and at sslmode.";
const PEOPLE: &str =
    "Who uses the application is known to the application, not to the database, which sees one role.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_regime_is_found_by_its_names_and_says_what_it_cannot_prove() {
        assert_eq!(ALL.iter().map(|regime| regime.name.as_str()).collect::<Vec<_>>(), NAMES);
        for regime in ALL.iter() {
            for name in regime.also.iter().chain([&regime.name]) {
                assert_eq!(
                    named(&name.to_lowercase()).map(|found| found.name.as_str()),
                    Some(regime.name.as_str())
                );
            }
            assert!(!regime.duties.is_empty(), "{}", regime.name);
            assert!(
                regime.elsewhere.iter().any(|duty| duty.why() == ENCRYPTION),
                "{} must say that encryption is not provable",
                regime.name
            );
            let rules = regime
                .duties
                .iter()
                .map(|duty| &duty.rule)
                .chain(regime.elsewhere.iter().map(|duty| &duty.rule));
            assert!(
                rules.into_iter().all(|rule| rule.contains(|c: char| c.is_ascii_digit())),
                "{}: a rule without a number",
                regime.name
            );
            assert!(regime.duties.iter().all(|duty| !duty.proofs.is_empty()), "{}", regime.name);
        }
        assert!(named("ISO").is_none());
    }
}
