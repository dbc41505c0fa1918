//! `--phase NAME=DIR`: where the folder of a phase is.

use std::path::PathBuf;

/// One phase and its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PhaseArg {
    pub(super) name: String,
    pub(super) folder: PathBuf,
}

/// Reads `NAME=DIR`.
pub(super) fn parse(text: &str) -> Result<PhaseArg, String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !name.contains('/') && !folder.is_empty() => {
            Ok(PhaseArg { name: name.to_owned(), folder: folder.into() })
        }
        _ => Err("write NAME=DIR, the name of the phase and its folder".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_a_name_and_a_folder() {
        assert_eq!(
            parse("security=sql/security").map(|phase| (phase.name, phase.folder)),
            Ok(("security".into(), "sql/security".into()))
        );
        for wrong in ["security", "=sql", "security=", "a/b=c"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
