//! The schema as a picture: boxes for tables, lines for foreign keys. PURE. Referenced tables stand to the
//! left of those that refer to them; lines to the same table run together, so that a table that every other
//! one refers to stays readable.

mod boxes;
mod draw;
mod layers;
mod order;
mod place;

use std::collections::BTreeMap;

pub use boxes::Card;
pub(super) use draw::svg;

use super::{Schema, TableKind};
use layers::{Edge, layers};
use order::{arrange, route};
use place::place;

/// How wide the gap between two columns is.
const WAY: f64 = 84.0;
/// Around the whole.
const MARGIN: f64 = 12.0;
/// Between tables that no foreign key touches.
const GAP: f64 = 18.0;

/// A picture: where everything is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// The tables.
    pub cards: Vec<Card>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its path, as SVG writes it.
    pub path: String,
    /// The table that it leads to; lines to one table have one colour.
    pub target: usize,
    /// The foreign keys that run along it, as indexes into the relations.
    pub relations: Vec<usize>,
    /// It ends at the referenced table.
    pub arrives: bool,
    /// No foreign key of it is validated.
    pub doubtful: bool,
}

/// Draws a schema. Partitions and views are left out: their table stands for them.
pub fn picture(schema: &Schema, tenant: Option<&str>) -> Picture {
    let shown: Vec<usize> = (0..schema.tables.len())
        .filter(|at| {
            matches!(schema.tables[*at].kind, TableKind::Table | TableKind::Partitioned | TableKind::Foreign)
        })
        .collect();
    let number: BTreeMap<String, usize> =
        shown.iter().enumerate().map(|(number, at)| (schema.tables[*at].object(), number)).collect();
    let mut cards: Vec<Card> = shown.iter().map(|at| boxes::card(schema, *at, tenant, shown.len())).collect();
    let mut edges: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (at, relation) in schema.relations.iter().enumerate() {
        if let (Some(from), Some(to)) = (number.get(&relation.from), number.get(&relation.to))
            && from != to
        {
            edges.entry((*from, *to)).or_default().push(at);
        }
    }
    let edges: Vec<Edge> =
        edges.into_iter().map(|((from, to), relations)| Edge { from, to, relations }).collect();
    let layer = layers(cards.len(), &edges);
    let mut net = route(&cards, &layer, &edges);
    arrange(&mut net);
    let (width, height) = place(&mut net, &mut cards);
    let lines = draw::lines(&net, &cards, schema);
    let mut picture = Picture { width, height, cards, lines };
    alone(&mut picture, &layer);
    picture
}

/// Tables that no foreign key touches, in rows below the rest.
fn alone(picture: &mut Picture, layer: &[Option<usize>]) {
    let most = picture.width.max(980.0);
    let (mut x, mut y, mut tallest) = (MARGIN, picture.height, 0.0_f64);
    for (card, _) in picture.cards.iter_mut().zip(layer).filter(|(_, layer)| layer.is_none()) {
        if x > MARGIN && x + card.width + MARGIN > most {
            (x, y, tallest) = (MARGIN, y + tallest + GAP, 0.0);
        }
        (card.x, card.y) = (x, y);
        x += card.width + GAP;
        tallest = tallest.max(card.height);
        picture.width = picture.width.max(x - GAP + MARGIN);
        picture.height = y + tallest + MARGIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Column, Isolation, Relation, Table};

    fn schema(tables: usize, references: &[(usize, usize)]) -> Schema {
        let table = |n: usize| Table {
            schema: "s".into(),
            name: format!("t{n:03}"),
            kind: TableKind::Table,
            owner: "o".into(),
            rows: None,
            enabled: false,
            forced: false,
            isolation: Isolation::NotAsked,
            columns: vec![Column { name: "id".into(), type_: "uuid".into(), nullable: false, primary: true }],
            policies: Vec::new(),
            indexes: Vec::new(),
        };
        let relation = |(from, to): &(usize, usize)| Relation {
            name: format!("fk_{from}_{to}"),
            from: format!("s.t{from:03}"),
            columns: vec!["id".into()],
            to: format!("s.t{to:03}"),
            references: vec!["id".into()],
            on_delete: "NO ACTION".into(),
            on_update: "NO ACTION".into(),
            validated: true,
        };
        Schema {
            tables: (0..tables).map(table).collect(),
            relations: references.iter().map(relation).collect(),
        }
    }

    /// Every table is inside the picture, and none lies on another.
    fn assert_readable(picture: &Picture, tables: usize) {
        assert_eq!(picture.cards.len(), tables);
        for (at, a) in picture.cards.iter().enumerate() {
            assert!(
                a.x >= 0.0
                    && a.y >= 0.0
                    && a.x + a.width <= picture.width
                    && a.y + a.height <= picture.height,
                "{a:?}"
            );
            for b in &picture.cards[at + 1..] {
                let apart = a.x + a.width <= b.x
                    || b.x + b.width <= a.x
                    || a.y + a.height <= b.y
                    || b.y + b.height <= a.y;
                assert!(apart, "{a:?} lies on {b:?}");
            }
        }
    }

    #[test]
    fn nothing_lies_on_anything_whatever_refers_to_whatever() {
        let mut seed = 7_usize;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for tables in [1, 2, 9, 60, 200] {
            for degree in [0, 1, 2, 3] {
                let references: Vec<_> =
                    (0..tables * degree).map(|_| (random(tables), random(tables))).collect();
                let schema = schema(tables, &references);
                let drawn = picture(&schema, None);
                assert_readable(&drawn, tables);
                assert_eq!(picture(&schema, None), drawn, "the same schema gives the same picture");
                let mut seen: Vec<usize> = drawn
                    .lines
                    .iter()
                    .filter(|line| line.arrives)
                    .flat_map(|line| line.relations.clone())
                    .collect();
                seen.sort_unstable();
                seen.dedup();
                let meant: Vec<usize> =
                    (0..references.len()).filter(|at| references[*at].0 != references[*at].1).collect();
                assert_eq!(seen, meant, "every foreign key arrives");
            }
        }
    }

    #[test]
    fn a_table_stands_to_the_right_of_those_it_refers_to() {
        let drawn = picture(&schema(4, &[(1, 0), (2, 1), (3, 0), (3, 2)]), None);
        let x: Vec<f64> = drawn.cards.iter().map(|card| card.x).collect();
        assert!(x[0] < x[1] && x[1] < x[2] && x[2] < x[3], "{x:?}");
    }

    #[test]
    fn sixty_tables_around_one_stay_on_a_page() {
        let references: Vec<_> = (1..60).map(|at| (at, 0)).collect();
        let drawn = picture(&schema(60, &references), None);
        assert!(drawn.width < 2200.0 && drawn.height < 1600.0, "{} x {}", drawn.width, drawn.height);
    }

    #[test]
    fn no_table_is_an_empty_picture() {
        assert_eq!(picture(&Schema::default(), None).cards, []);
    }
}
