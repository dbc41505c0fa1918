//! Lengths of time in manifests: `100ms`, `5m`, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a length of time looks like: whole hours, minutes, seconds and milliseconds, in this order.
pub const SPAN_PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$";

/// A length of time as a manifest writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// The text is not a length of time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a length of time: write whole numbers with h, m, s or ms, for instance 100ms, 5m or 1h30m"
)]
pub struct InvalidSpan(String);

impl Span {
    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// From seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSpan(text.to_owned());
        let mut rest = text;
        let mut total = Duration::ZERO;
        let mut units = ["h", "m", "s", "ms"].as_slice();
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            let unit_length =
                rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
            let unit = &rest[digits..digits + unit_length];
            let at = units.iter().position(|known| *known == unit).ok_or_else(invalid)?;
            total += match unit {
                "h" => Duration::from_secs(number * 3600),
                "m" => Duration::from_secs(number * 60),
                "s" => Duration::from_secs(number),
                _ => Duration::from_millis(number),
            };
            units = &units[at + 1..];
            rest = &rest[digits + unit_length..];
            if digits > 6 {
                return Err(invalid());
            }
        }
        if text.is_empty() { Err(invalid()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let parts = [
            (millis / 3_600_000, "h"),
            (millis / 60_000 % 60, "m"),
            (millis / 1000 % 60, "s"),
            (millis % 1000, "ms"),
        ];
        if millis == 0 {
            return f.write_str("0s");
        }
        parts.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, unit)| write!(f, "{n}{unit}"))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 2, "maxLength": 30, "pattern": SPAN_PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_as_they_are_written() {
        for (text, millis) in [
            ("100ms", 100),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2s", 2000),
            ("1m1ms", 60_001),
            ("168h", 604_800_000),
        ] {
            assert_eq!(text.parse::<Span>().map(|s| s.duration().as_millis()), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_length_of_time_is_refused_and_named() {
        for text in ["", "5", "m", "5x", "-5m", "5m1h", "1.5h", "5 m", "9999999s"] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan(text.into())), "{text}");
        }
    }

    #[test]
    fn a_length_of_time_survives_printing() {
        for text in ["100ms", "5m", "1h30m", "2s", "1m1ms", "168h"] {
            assert_eq!(text.parse::<Span>().map(|s| s.to_string()).as_deref(), Ok(text));
        }
    }
}
