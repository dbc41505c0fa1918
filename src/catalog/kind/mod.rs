//! The kinds of objects, in the order of a report. One file each: its words, and the one query that finds it.

mod column;
mod composite;
mod constraint;
mod domain;
mod enumeration;
mod extension;
mod function;
mod grant;
mod index;
mod materialized_view;
mod policy;
mod range;
mod rule;
mod schema;
mod sequence;
mod table;
mod trigger;
mod view;

/// How a kind is found.
pub(super) struct Reader {
    pub(super) kind: Kind,
    /// What the values of an object mean, in order.
    pub(super) words: &'static [&'static str],
    /// Follows [`PREFIX`]. Answers name, parent, and an array with a value, or NULL, for each word.
    pub(super) sql: &'static str,
}

/// What every query begins with. `$1` are the schemas, `$2` and `$3` schema and name of the history. Objects
/// of extensions belong to their extension. A relation whose row type stands alone (`c`) is a composite type.
pub(super) const PREFIX: &str = "
WITH scope AS (SELECT n.oid, n.nspname, pg_catalog.quote_ident(n.nspname) AS name, n.nspacl, n.nspowner
    FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($1::text[])),
  member AS (SELECT d.classid, d.objid FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'),
  ours AS MATERIALIZED (SELECT c.*, pg_catalog.format('%I.%I', s.nspname, c.relname) AS name, s.name AS schema
    FROM pg_catalog.pg_class c JOIN scope s ON s.oid = c.relnamespace
    WHERE (s.nspname, c.relname) <> ($2::text, $3::text)
      AND c.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = \
      'pg_catalog.pg_class'::pg_catalog.regclass))";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $room:ident, $word:literal;)*) => {
        /// What an object is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }

        pub(super) static READERS: &[Reader] = &[$($room::READER,)*];
    };
}

kinds! {
    /// A schema of the manifest.
    Schema = schema, "schema";
    /// An extension whose schema is one of them.
    Extension = extension, "extension";
    /// An enum.
    Enum = enumeration, "enum";
    /// A domain.
    Domain = domain, "domain";
    /// A composite type.
    Composite = composite, "composite type";
    /// A range type.
    Range = range, "range type";
    /// A sequence, also one that an identity column owns.
    Sequence = sequence, "sequence";
    /// A table: ordinary, partitioned or foreign.
    Table = table, "table";
    /// A column of a table.
    Column = column, "column";
    /// A primary key, a unique, foreign key, check or exclusion constraint.
    Constraint = constraint, "constraint";
    /// An index that is no constraint's.
    Index = index, "index";
    /// A view.
    View = view, "view";
    /// A materialized view.
    MaterializedView = materialized_view, "materialized view";
    /// A function, procedure or aggregate.
    Function = function, "function";
    /// A trigger that a person made.
    Trigger = trigger, "trigger";
    /// A rewrite rule.
    Rule = rule, "rule";
    /// A row-level security policy.
    Policy = policy, "policy";
    /// What one role may do with one object, its owner aside.
    Grant = grant, "grant";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_one_question() {
        let kinds: Vec<_> = READERS.iter().map(|reader| reader.kind).collect();
        assert_eq!(kinds, Kind::ALL);
    }
}
