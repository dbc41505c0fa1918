//! The regimes, one file each: duties with the article they come from and what proves them, and what no
//! schema can prove.

mod anvisa;
mod bgb_630f;
mod cfm;
mod gdpr;
mod gobd;
mod hipaa;
mod lgpd;

use super::{Elsewhere, proof::Proof};

/// A law, or another set of rules.
#[derive(Debug)]
pub struct Regime {
    /// As it is asked for.
    pub name: &'static str,
    /// Other names for it.
    pub(super) also: &'static [&'static str],
    /// Its full name.
    pub law: &'static str,
    /// The duties that a schema can prove.
    pub(super) duties: &'static [Duty],
    /// The duties that it cannot.
    pub(super) elsewhere: &'static [Elsewhere],
}

/// A duty and what proves it.
#[derive(Debug)]
pub(super) struct Duty {
    /// What must be true, in a few words.
    pub(super) title: &'static str,
    /// Where it is written.
    pub(super) rule: &'static str,
    /// All of these must be there.
    pub(super) proofs: &'static [&'static [Proof]],
}

static ALL: &[&Regime] = &[
    &lgpd::REGIME,
    &cfm::REGIME,
    &anvisa::REGIME,
    &hipaa::REGIME,
    &gdpr::REGIME,
    &gobd::REGIME,
    &bgb_630f::REGIME,
];

/// The names of all regimes, in the order of their list.
pub const NAMES: [&str; 7] = ["LGPD", "CFM", "ANVISA", "HIPAA", "GDPR", "GoBD", "630f"];

/// The regime of a name, in capitals or not.
pub fn named(name: &str) -> Option<&'static Regime> {
    let is = |known: &&str| known.eq_ignore_ascii_case(name.trim());
    ALL.iter().copied().find(|regime| is(&regime.name) || regime.also.iter().any(is))
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
        assert_eq!(ALL.iter().map(|regime| regime.name).collect::<Vec<_>>(), NAMES);
        for regime in ALL {
            for name in regime.also.iter().chain([&regime.name]) {
                assert_eq!(named(&name.to_lowercase()).map(|found| found.name), Some(regime.name));
            }
            assert!(!regime.duties.is_empty(), "{}", regime.name);
            assert!(
                regime.elsewhere.iter().any(|duty| duty.why == ENCRYPTION),
                "{} must say that encryption is not provable",
                regime.name
            );
            let rules = regime
                .duties
                .iter()
                .map(|duty| duty.rule)
                .chain(regime.elsewhere.iter().map(|duty| duty.rule));
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
