//! Values for rows that exist for the length of an attempt. PURE: chance comes in as a parameter.
//!
//! They must satisfy constraints that are not known, so there are a few variants to try: ascending values,
//! values that stand in the check constraints, values next to those, and descending ones.

use fastrand::Rng;

use super::target::Column;
use crate::inspect::sql;

/// How many variants there are.
pub(super) const VARIANTS: u32 = 4;

/// An SQL expression for the column, or nothing for a type that is not known here.
pub(super) fn value(column: &Column, variant: u32, random: &mut Rng) -> Option<String> {
    let order = i64::from(column.number);
    Some(match (column.category.as_str(), column.type_name.as_str()) {
        ("N", name) => number(column, name, variant, random),
        ("S", name) => text(column, name, variant, random),
        ("D", name) => moment(name, variant, order),
        ("T", _) => format!("pg_catalog.make_interval(secs => {order})"),
        ("B", _) => if variant == 0 { "false" } else { "true" }.to_owned(),
        ("E", _) => sql::literal(column.labels.get(variant as usize).or(column.labels.first())?),
        ("A", _) => "'{}'".to_owned(),
        ("R", name) => if name.ends_with("multirange") { "'{}'" } else { "'empty'" }.to_owned(),
        ("I", _) => "'192.0.2.1'".to_owned(),
        ("V", "bit") => sql::literal(&"0".repeat(usize::try_from(column.modifier).unwrap_or(1))),
        ("V", _) => "'0'".to_owned(),
        (_, "uuid") => sql::literal(&uuid(random)),
        (_, "bytea") => sql::literal(&format!("\\x{:032x}", random.u128(..))),
        (_, "json" | "jsonb") => if variant == 0 { "'{}'" } else { "'[]'" }.to_owned(),
        (_, "tsvector" | "hstore") => "''".to_owned(),
        (_, "xml") => "'<x/>'".to_owned(),
        (_, "macaddr") => "'08:00:2b:01:02:03'".to_owned(),
        (_, "point") => "'(0,0)'".to_owned(),
        (_, "ltree") => "'x'".to_owned(),
        (_, "vector") => {
            format!("'[{}]'", vec!["0"; usize::try_from(column.modifier).unwrap_or(1)].join(","))
        }
        _ => return None,
    })
}

/// Two tenants that do not exist, as texts: the first may be given rows, the second has none.
pub(super) fn strangers(column: &Column, random: &mut Rng) -> Option<(String, String)> {
    let mut stranger = || match (column.category.as_str(), column.type_name.as_str()) {
        (_, "uuid") => Some(uuid(random)),
        ("N", name) => Some(large(column, name, random).to_string()),
        ("S", name) if name != "char" => Some(word(column, name, random)),
        // Long ago, where no row is.
        ("D", "date" | "timestamp" | "timestamptz") => {
            Some(format!("{}-{:02}-{:02}", random.u32(1000..1600), random.u32(1..13), random.u32(1..28)))
        }
        ("I", _) => Some(format!("198.18.{}.{}", random.u8(..), random.u8(..))),
        (_, "bytea") => Some(format!("\\x{:032x}", random.u128(..))),
        (_, "macaddr") => Some(format!(
            "02:00:{:02x}:{:02x}:{:02x}:{:02x}",
            random.u8(..),
            random.u8(..),
            random.u8(..),
            random.u8(..)
        )),
        _ => None,
    };
    let (first, second) = (stranger()?, stranger()?);
    (first != second).then_some((first, second))
}

/// The tenants that there can be, of a type that has few values.
pub(super) fn labels(column: &Column) -> Vec<String> {
    match column.category.as_str() {
        "B" => vec!["true".to_owned(), "false".to_owned()],
        _ => column.labels.clone(),
    }
}

fn uuid(random: &mut Rng) -> String {
    uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid().to_string()
}

fn number(column: &Column, name: &str, variant: u32, random: &mut Rng) -> String {
    let hint = numbers(&column.checks).next();
    match (variant, hint) {
        (1, Some(hint)) => hint.to_string(),
        (2, Some(hint)) => (hint + 1).to_string(),
        _ if column.unique || column.serial => large(column, name, random).to_string(),
        (3, _) => (1000 - i64::from(column.number)).to_string(),
        _ => column.number.to_string(),
    }
}

/// Far from where sequences begin, so that no row has it.
fn large(column: &Column, name: &str, random: &mut Rng) -> i64 {
    let precision = u32::try_from((column.modifier - 4) >> 16 & 0xffff).unwrap_or(18);
    let scale = u32::try_from((column.modifier - 4) & 0x7ff).unwrap_or(0);
    match name {
        "int2" => random.i64(20_000..32_000),
        "int4" | "oid" => random.i64(2_000_000_000..2_147_000_000),
        "numeric" if column.modifier >= 4 => {
            random.i64(0..10_i64.pow(precision.saturating_sub(scale).clamp(1, 18)))
        }
        _ => random.i64(4_000_000_000_000_000_000..4_600_000_000_000_000_000),
    }
}

fn text(column: &Column, name: &str, variant: u32, random: &mut Rng) -> String {
    let mut hints = column.checks.iter().flat_map(|check| strings(check));
    match (variant, hints.next(), hints.next()) {
        (1, Some(hint), _) | (2, Some(_), Some(hint)) => sql::literal(&hint),
        (3, ..) => sql::literal(&format!("{}@sluice.invalid", word(column, name, random))),
        _ => sql::literal(&word(column, name, random)),
    }
}

/// Unique, and no longer than the column allows.
fn word(column: &Column, name: &str, random: &mut Rng) -> String {
    let length = match name {
        "varchar" | "bpchar" if column.modifier > 4 => usize::try_from(column.modifier - 4).unwrap_or(1),
        "char" => 1,
        _ => usize::MAX,
    };
    let word = format!("{:016x}", random.u64(..));
    word[..word.len().min(length)].to_owned()
}

/// Ascending with the columns' order, in the recent past: "starts before it ends", "not in the future", and
/// the partition of today.
fn moment(name: &str, variant: u32, order: i64) -> String {
    let order = match variant {
        3 => -order,
        2 => 0,
        _ => order,
    };
    match name {
        "date" => format!("CURRENT_DATE OPERATOR(pg_catalog.-) {}", (30 - order).clamp(0, 60)),
        "time" | "timetz" => format!(
            "pg_catalog.make_time(12, 0, 0) OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => {order})"
        ),
        _ => format!(
            "pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => {})",
            1800 - order
        ),
    }
}

/// The numbers in check constraints, in order and cut to whole ones, without those of type names.
fn numbers(checks: &[String]) -> impl Iterator<Item = i64> {
    let words = checks.iter().flat_map(|check| {
        check.split(|character: char| !(character.is_ascii_alphanumeric() || "_.-".contains(character)))
    });
    words.filter_map(|word| word.split('.').next()?.parse().ok())
}

/// The string constants of a check constraint, in order.
fn strings(check: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = check;
    while let Some(start) = rest.find('\'') {
        let mut text = String::new();
        let mut tail = &rest[start + 1..];
        while let Some(end) = tail.find('\'') {
            text.push_str(&tail[..end]);
            tail = &tail[end + 1..];
            if !tail.starts_with('\'') {
                break;
            }
            text.push('\'');
            tail = &tail[1..];
        }
        found.push(text);
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(category: &str, type_name: &str) -> Column {
        Column {
            number: 7,
            category: category.into(),
            type_name: type_name.into(),
            modifier: -1,
            ..Column::default()
        }
    }

    fn of(column: &Column, variant: u32) -> String {
        value(column, variant, &mut Rng::with_seed(1)).expect("a known type")
    }

    #[test]
    fn a_word_is_no_longer_than_its_column() {
        let varchar = Column { modifier: 4 + 5, ..column("S", "varchar") };
        assert_eq!(of(&varchar, 0).len(), 5 + 2);
    }

    #[test]
    fn values_that_stand_in_a_constraint_are_tried() {
        let status = Column {
            checks: vec!["CHECK (((status)::text = ANY (ARRAY['it''s'::text, 'b'::text])))".into()],
            ..column("S", "text")
        };
        assert_eq!((of(&status, 1), of(&status, 2)), ("'it''s'".to_owned(), "'b'".to_owned()));
        let rating = Column {
            checks: vec!["CHECK (((rating >= 3) AND (rating <= 5)))".into()],
            ..column("N", "int4")
        };
        assert_eq!((of(&rating, 1), of(&rating, 2)), ("3".to_owned(), "4".to_owned()));
    }

    #[test]
    fn moments_ascend_with_the_columns_and_descend_in_the_last_variant() {
        let seconds = |number, variant| {
            let column = Column { number, ..column("D", "timestamptz") };
            of(&column, variant)
                .rsplit("=> ")
                .next()
                .and_then(|text| text.trim_end_matches(')').parse::<i64>().ok())
                .expect("seconds ago")
        };
        assert!(seconds(5, 0) > seconds(6, 0), "later columns are less long ago");
        assert!(seconds(5, 3) < seconds(6, 3));
    }

    #[test]
    fn keys_are_far_from_where_sequences_begin() {
        let key = Column { serial: true, ..column("N", "int4") };
        assert!(of(&key, 0).parse::<i64>().is_ok_and(|number| number >= 2_000_000_000));
        let small = Column { unique: true, modifier: (3 << 16) + 4, ..column("N", "numeric") };
        assert!(of(&small, 0).parse::<i64>().is_ok_and(|number| number < 1000));
    }

    #[test]
    fn strangers_are_two_and_only_of_types_that_have_many_values() {
        for (category, name) in
            [("U", "uuid"), ("N", "int8"), ("S", "text"), ("D", "date"), ("I", "inet"), ("U", "bytea")]
        {
            let (first, second) =
                strangers(&column(category, name), &mut Rng::with_seed(2)).expect("strangers");
            assert_ne!(first, second, "{name}");
        }
        assert_eq!(strangers(&column("E", "plan"), &mut Rng::with_seed(2)), None);
        let plan = Column { labels: vec!["free".into(), "paid".into()], ..column("E", "plan") };
        assert_eq!(
            (labels(&plan).len(), labels(&column("B", "bool")).len(), labels(&column("S", "text")).len()),
            (2, 2, 0)
        );
    }

    #[test]
    fn a_type_that_is_not_known_has_no_value() {
        assert_eq!(value(&column("U", "geometry"), 0, &mut Rng::with_seed(3)), None);
    }
}
