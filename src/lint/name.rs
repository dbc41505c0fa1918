//! Names as PostgreSQL writes them: in quotes where they need them, so that a dot in a name is none between two. PURE.

use squawk_syntax::quote::quote_ident;

use crate::sql::Name;

/// A name with its schema, if the file says one.
pub(super) fn written(name: &Name) -> String {
    name.0.iter().map(|part| quote_ident(part)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Cursor;

    #[test]
    fn two_names_are_never_written_alike_and_each_is_read_again_as_it_was() {
        for (sql, as_written) in [
            ("Visits", "visits"),
            ("\"visits\"", "visits"),
            ("Medical.visits", "medical.visits"),
            ("\"medical.visits\"", "\"medical.visits\""),
            ("\"Patient\"", "\"Patient\""),
            ("\"odd \"\" name\"", "\"odd \"\" name\""),
            ("\"user\"", "\"user\""),
        ] {
            let name = Cursor::of(sql).name().expect("a name");
            assert_eq!(written(&name), as_written, "{sql}");
            assert_eq!(Cursor::of(as_written).name(), Some(name), "{sql}");
        }
    }
}
