//! The form for programs, and reading it again. PURE.

use serde::Serialize;
use serde_json::Value;

use super::{Consistency, KIND, Report, consistency};

/// A text that is no report.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("it is not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// It is other JSON.
    #[error("its kind is {0}: write it with `sluice verify -o json`")]
    Kind(Value),
    /// It was written by a newer Sluice.
    #[error("its format is {0}, and this Sluice reads format 1: use a newer one")]
    Format(Value),
    /// It has the right kind and lacks something.
    #[error("it is no whole report: {0}")]
    Parts(#[source] serde_json::Error),
}

/// Pretty, with a new line at the end.
pub(super) fn print(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// The reports in a text: one, or those of a consistency report.
pub fn read(text: &str) -> Result<Vec<Report>, Unreadable> {
    let value: Value = serde_json::from_str(text).map_err(Unreadable::Json)?;
    let kind = value["kind"].clone();
    if kind != KIND && kind != consistency::KIND {
        return Err(Unreadable::Kind(kind));
    }
    if value["format"] != 1 {
        return Err(Unreadable::Format(value["format"].clone()));
    }
    if kind == KIND {
        return serde_json::from_value(value).map(|report| vec![report]).map_err(Unreadable::Parts);
    }
    serde_json::from_value::<Consistency>(value).map(|several| several.reports).map_err(Unreadable::Parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_says_what_it_is() {
        for (text, part) in [
            ("", "not JSON"),
            ("[]", "its kind is null"),
            ("{\"kind\":\"Pod\"}", "\"Pod\""),
            ("{\"kind\":\"VerificationReport\",\"format\":2}", "its format is 2"),
            ("{\"kind\":\"VerificationReport\",\"format\":1}", "no whole report"),
        ] {
            let said = read(text).expect_err(text).to_string();
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
