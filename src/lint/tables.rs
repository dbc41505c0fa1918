//! How large the tables are that there are. PURE.

use std::collections::BTreeMap;

use crate::sql::Name;

/// How large a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// As PostgreSQL estimates them.
    pub rows: u64,
    /// With its indexes and what lies out of line.
    pub bytes: u64,
}

/// From which size on a table is large: one of the two is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Large {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Default for Large {
    fn default() -> Self {
        Self { rows: 10_000, bytes: 64 << 20 }
    }
}

/// The tables of a database; without one, each that exists counts as large.
#[derive(Clone, Debug)]
pub struct Tables {
    /// By schema and name; none where there is no database.
    known: Option<BTreeMap<(String, String), Size>>,
    /// The schema of a name without one.
    schema: String,
    large: Large,
}

impl Default for Tables {
    fn default() -> Self {
        Self { known: None, schema: "public".to_owned(), large: Large::default() }
    }
}

impl Tables {
    /// Those of a database, by schema and name. `schema` is the one of a name without a schema.
    pub fn of(sizes: impl IntoIterator<Item = ((String, String), Size)>, schema: &str, large: Large) -> Self {
        Self { known: Some(sizes.into_iter().collect()), schema: schema.to_owned(), large }
    }

    /// Schema and name of a table, whether or not the file says its schema.
    pub(super) fn place(&self, table: &Name) -> (String, String) {
        let schema = table.0.iter().rev().nth(1).unwrap_or(&self.schema);
        (schema.clone(), table.own().to_owned())
    }

    /// Whether the database is known to have a table of this name.
    pub(super) fn has(&self, schema: &str, name: &str) -> bool {
        self.known.as_ref().is_some_and(|known| known.contains_key(&(schema.to_owned(), name.to_owned())))
    }

    /// The size of a table; none for one that is not known.
    pub(super) fn size(&self, table: &Name) -> Option<Size> {
        self.known.as_ref()?.get(&self.place(table)).copied()
    }

    /// Whether to lock it hurts. A table that is not known is large.
    pub(super) fn is_large(&self, table: &Name) -> bool {
        self.times_large(table).is_none_or(|times| times >= 1)
    }

    /// How many times as large it is as what counts as large; none for a table that is not known.
    pub(super) fn times_large(&self, table: &Name) -> Option<u64> {
        let size = self.size(table)?;
        Some((size.rows / self.large.rows.max(1)).max(size.bytes / self.large.bytes.max(1)))
    }

    /// Its size, for people.
    pub(super) fn said(&self, table: &Name) -> Option<String> {
        let size = self.size(table)?;
        Some(format!("about {} rows, {} MiB", size.rows, size.bytes.div_ceil(1 << 20)))
    }
}
