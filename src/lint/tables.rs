//! What is known of the tables that there are. PURE.

use std::collections::{BTreeMap, BTreeSet};

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

/// Schema and name of a table.
pub type Place = (String, String);

/// Schema, table and name of a column.
pub type Column = (String, String, String);

/// The tables of a database. Without one each that exists counts as large, and what depends on rows, policies and
/// foreign keys is not known.
#[derive(Clone, Debug)]
pub struct Tables {
    /// None where there is no database.
    known: Option<BTreeMap<Place, Size>>,
    /// The schema of a name without one.
    schema: String,
    large: Large,
    /// Columns that have NULLs, and how many of them were counted.
    nulls: BTreeMap<Column, String>,
    /// Tables of which row-level security hides rows from the role that migrates.
    hidden: BTreeSet<Place>,
    /// Tables whose rows a release may neither change nor remove, as the team names them.
    protected: Vec<String>,
    /// Tables a DELETE of which changes or removes rows of a protected one, which is behind them.
    cascades: BTreeMap<Place, String>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            known: None,
            schema: "public".to_owned(),
            large: Large::default(),
            nulls: BTreeMap::new(),
            hidden: BTreeSet::new(),
            protected: Vec::new(),
            cascades: BTreeMap::new(),
        }
    }
}

impl Tables {
    /// Those of a database, by schema and name. `schema` is the one of a name without a schema.
    pub fn of(sizes: impl IntoIterator<Item = (Place, Size)>, schema: &str, large: Large) -> Self {
        Self { known: Some(sizes.into_iter().collect()), schema: schema.to_owned(), large, ..Self::default() }
    }

    /// With columns that have NULLs, and how many, in words.
    #[must_use]
    pub fn with_nulls(self, nulls: impl IntoIterator<Item = (Column, String)>) -> Self {
        Self { nulls: nulls.into_iter().collect(), ..self }
    }

    /// With tables of which row-level security hides rows from the role that migrates.
    #[must_use]
    pub fn with_hidden(self, hidden: impl IntoIterator<Item = Place>) -> Self {
        Self { hidden: hidden.into_iter().collect(), ..self }
    }

    /// With tables whose rows a release may neither change nor remove: `table`, in whatever schema, or
    /// `schema.table`.
    #[must_use]
    pub fn protecting(self, protected: &[String]) -> Self {
        Self { protected: protected.to_vec(), ..self }
    }

    /// With tables a DELETE of which reaches a protected one, and which.
    #[must_use]
    pub fn with_cascades(self, cascades: impl IntoIterator<Item = (Place, String)>) -> Self {
        Self { cascades: cascades.into_iter().collect(), ..self }
    }

    /// How many NULLs a column has, in words; none where it has none, or that is not known.
    pub(super) fn nulls(&self, table: &Name, column: &str) -> Option<&str> {
        let (schema, table) = self.place(table);
        self.nulls.get(&(schema, table, column.to_owned())).map(String::as_str)
    }

    /// Whether row-level security is known to hide rows of a table from the role that migrates.
    pub(super) fn hides(&self, table: &Name) -> bool {
        self.hidden.contains(&self.place(table))
    }

    /// The protected table that a table is, as the team names it.
    pub(super) fn protected(&self, table: &Name) -> Option<&str> {
        let (schema, name) = self.place(table);
        let is_it = |given: &&String| **given == name || **given == format!("{schema}.{name}");
        self.protected.iter().find(is_it).map(String::as_str)
    }

    /// The protected table that a DELETE of this table reaches.
    pub(super) fn reached(&self, table: &Name) -> Option<&str> {
        self.protected(table).or_else(|| self.cascades.get(&self.place(table)).map(String::as_str))
    }

    /// Schema and name of a table, whether or not the file says its schema.
    pub(super) fn place(&self, table: &Name) -> Place {
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
