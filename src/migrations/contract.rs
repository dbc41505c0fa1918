//! `-- sluice: contract of=20260120090000_add_full_name min-age=168h` at the head of a file: it takes away what an
//! expansion made superfluous, so it is held, with every file after it, until the expansion is that old. To Prisma
//! it is a comment. PURE.

use super::backfill::once;
use crate::api::Span;

/// How old an expansion has to be, where the directive does not say.
const MIN_AGE: Span = Span::from_secs(168 * 3600);

/// What a directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The migration that made the expansion.
    pub of: String,
    /// For how long that has to be applied; a week where it does not say.
    pub min_age: Span,
}

impl Contract {
    /// Reads what stands behind the word `contract`; an error says what is wrong, and what to do.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (mut of, mut min_age) = (None, None);
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| {
                format!("{word:?} is no NAME=VALUE: write of= or min-age=, without blanks around =")
            })?;
            match name {
                "of" if value.is_empty() => return Err("of= names no migration".to_owned()),
                "of" => once(&mut of, name, value.to_owned())?,
                "min-age" => once(&mut min_age, name, span(value)?)?,
                _ => return Err(format!("it has no {name:?}: write of= or min-age=")),
            }
        }
        let of = of.ok_or("it names no migration: write of= and the migration that made the expansion")?;
        Ok(Self { of, min_age: min_age.unwrap_or(MIN_AGE) })
    }
}

fn span(value: &str) -> Result<Span, String> {
    value.parse().map_err(|error: crate::api::InvalidSpan| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::split;

    #[test]
    fn a_directive_names_its_expansion_and_has_a_default_for_its_age() {
        let week = Contract { of: "1_a".to_owned(), min_age: Span::from_secs(604_800) };
        assert_eq!(Contract::read(" of=1_a"), Ok(week.clone()));
        assert_eq!(Contract::read("min-age=0s  of=1_a").map(|it| it.min_age), Ok(Span::from_secs(0)));
        for (text, problem) in [
            ("", "it names no migration"),
            ("of=", "of= names no migration"),
            ("of=a of=b", "of= twice"),
            ("of=a min-age=soon", "is not a length of time"),
            ("of=a minAge=1h", "it has no \"minAge\""),
            ("1_a", "\"1_a\" is no NAME=VALUE"),
        ] {
            let told = Contract::read(text).expect_err(text);
            assert!(told.contains(problem), "{text}: {told}");
        }
        assert_eq!(split("-- sluice: contract of=1_a\nSELECT 1;").expect("reads").contract, Some(week));
    }

    #[test]
    fn a_contract_stands_at_the_head_of_its_file_and_once() {
        const LINE: &str = "-- sluice: contract of=1_a";
        for (sql, line, problem) in [
            (format!("SELECT 1;\n{LINE}\nSELECT 2;"), 2, "at the head of the file"),
            (format!("SELECT 1\n{LINE}\n;"), 2, "at the head of the file"),
            (format!("{LINE}\n{LINE}\nSELECT 1;"), 2, "has one already"),
            (format!("{LINE} when=later\nSELECT 1;"), 1, "it has no \"when\""),
        ] {
            let error = split(sql.clone()).expect_err(&sql);
            assert_eq!(error.line(), line, "{sql}");
            assert!(error.to_string().contains(problem), "{sql}: {error}");
        }
        assert!(split(format!("-- why\n\n{LINE}\n-- and\nSELECT 1;")).is_ok());
    }
}
