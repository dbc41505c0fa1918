//! What stands in the box of a table, and how large it is. PURE.

use super::super::{Column, Isolation, Relation, Schema, count::count};
use crate::visible::visible;

/// The height of a box's head.
pub(super) const HEAD: f64 = 24.0;
/// The height of a row.
pub(super) const ROW: f64 = 17.0;
/// Below the last row.
const FOOT: f64 = 5.0;
/// The width of a letter; letters of other scripts are twice as wide.
const LETTER: f64 = 6.7;
/// So many tables are shown with all their columns; of more, only the keys are.
const FEW: usize = 20;
/// So many columns fit into a box.
const MOST: usize = 12;
/// Longer names are cut.
const LONGEST: usize = 28;

/// The box of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// The table, as an index into the schema's.
    pub table: usize,
    /// Its name as shown.
    pub title: String,
    /// Whether tenants are kept apart in it.
    pub isolation: Isolation,
    /// Its columns as shown.
    pub rows: Vec<Row>,
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

/// A column in a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name as shown.
    pub name: String,
    /// Its type, or nothing.
    pub type_: String,
    /// `PK`, `FK`, both or nothing.
    pub key: String,
    /// It tells whose the row is.
    pub tenant: bool,
    /// The column, as an index into the table's; none for the line that counts the rest.
    pub column: Option<usize>,
}

/// The box of a table, at no place yet.
pub(super) fn card(schema: &Schema, at: usize, tenant: Option<&str>, tables: usize) -> Card {
    let table = &schema.tables[at];
    let object = table.object();
    let several = schema.tables.iter().any(|other| other.schema != table.schema);
    let title = short(&visible(if several { &object } else { &table.name }), LONGEST + 6);
    let own: Vec<&Relation> = schema.relations.iter().filter(|relation| relation.from == object).collect();
    let refers = |column: &Column| own.iter().any(|relation| relation.columns.contains(&column.name));
    let mut rows = Vec::new();
    let mut left_out = 0;
    // Keys first come, first served; the others take what is left.
    let keys = table
        .columns
        .iter()
        .filter(|column| column.primary || refers(column) || tenant == Some(&column.name))
        .count();
    let mut others = if tables <= FEW { MOST.saturating_sub(keys) } else { 0 };
    for (number, column) in table.columns.iter().enumerate() {
        let (refers, is_tenant) = (refers(column), tenant == Some(&column.name));
        let is_key = column.primary || refers || is_tenant;
        let fits = if is_key { rows.len() < MOST } else { others > 0 };
        if !fits {
            left_out += 1;
            continue;
        }
        others -= usize::from(!is_key);
        let type_ = if tables <= FEW { short(&brief(&visible(&column.type_)), 18) } else { String::new() };
        rows.push(Row {
            name: short(&visible(&column.name), LONGEST),
            type_,
            key: key(column.primary, refers).to_owned(),
            tenant: is_tenant,
            column: Some(number),
        });
    }
    if left_out > 0 {
        let name = if rows.is_empty() { count(left_out, "column") } else { format!("{left_out} more") };
        rows.push(Row { name, type_: String::new(), key: String::new(), tenant: false, column: None });
    }
    let widest = rows
        .iter()
        .map(|row| letters(&row.name) + letters(&row.type_) + 2.0 + 6.0)
        .fold(letters(&title) * 1.1 + 6.0, f64::max);
    #[allow(clippy::cast_precision_loss, reason = "there are at most thirteen rows")]
    let height = HEAD + rows.len() as f64 * ROW + FOOT;
    Card {
        table: at,
        title,
        isolation: table.isolation,
        rows,
        x: 0.0,
        y: 0.0,
        width: (widest * LETTER + 18.0).round(),
        height,
    }
}

/// What a column is a key of.
const fn key(primary: bool, refers: bool) -> &'static str {
    match (primary, refers) {
        (true, true) => "PK FK",
        (true, false) => "PK",
        (false, true) => "FK",
        (false, false) => "",
    }
}

/// Types that are long in the standard and short in every head.
fn brief(type_: &str) -> String {
    let type_ = type_.strip_prefix("public.").unwrap_or(type_);
    type_
        .replace("timestamp with time zone", "timestamptz")
        .replace("timestamp without time zone", "timestamp")
        .replace("timestamp(3) without time zone", "timestamp(3)")
        .replace("character varying", "varchar")
        .replace("double precision", "float8")
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn letters(text: &str) -> f64 {
    text.chars().map(|c| if c.is_ascii() || c == '…' { 1.0 } else { 2.0 }).sum()
}
