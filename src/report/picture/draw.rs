//! From places to SVG. PURE. Colours come from the page's style sheet, so that they follow light and dark.

use maud::{Markup, html};

use super::{
    super::Schema,
    Line, Picture,
    boxes::{Card, HEAD, ROW, Row},
    order::{Link, Net},
};
use crate::visible::visible;

/// So many colours tell lines apart.
const COLOURS: usize = 8;
/// Smaller than this, the letters are too small to read.
const SMALLEST: f64 = 0.7;

/// The lines between the places.
pub(super) fn lines(net: &Net, cards: &[Card], schema: &Schema) -> Vec<Line> {
    let span = |slot: usize| match net.slots[slot].card {
        Some(card) => (cards[card].x, cards[card].x + cards[card].width),
        None => column(net, cards, net.slots[slot].layer),
    };
    let mut lines: Vec<Line> = net
        .links
        .iter()
        .map(|link| piece(net, cards, schema, link, span(link.left).1, span(link.right).0))
        .collect();
    // A line goes straight through a column that it only passes.
    for (at, slot) in net.slots.iter().enumerate().filter(|(_, slot)| slot.card.is_none()) {
        let Some(through) = net.links.iter().find(|link| link.left == at) else { continue };
        let ((left, right), y) = (span(at), slot.y + slot.height / 2.0);
        let path = format!("M{left:.1} {y:.1}H{right:.1}");
        lines.push(Line {
            path,
            target: through.target,
            relations: through.relations.clone(),
            arrives: false,
            doubtful: false,
        });
    }
    lines
}

/// From where to where a column reaches.
fn column(net: &Net, cards: &[Card], layer: usize) -> (f64, f64) {
    let inside = net.columns[layer].iter().filter_map(|slot| net.slots[*slot].card);
    inside
        .map(|card| (cards[card].x, cards[card].x + cards[card].width))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |all, one| (all.0.min(one.0), all.1.max(one.1)))
}

/// A line between two columns, as a curve that leaves and arrives level.
fn piece(net: &Net, cards: &[Card], schema: &Schema, link: &Link, left: f64, right: f64) -> Line {
    let first = link.relations.first().map(|at| &schema.relations[*at]);
    let y = |slot: usize, at_target: bool| {
        let place = &net.slots[slot];
        match place.card {
            None => place.y + place.height / 2.0,
            Some(card) if at_target => cards[card].y + HEAD / 2.0,
            Some(card) => {
                cards[card].y
                    + first.map_or(HEAD / 2.0, |relation| row(&cards[card], schema, &relation.columns))
            }
        }
    };
    let (from, to) = (y(link.left, !link.backwards), y(link.right, link.backwards));
    let middle = f64::midpoint(left, right);
    let target_slot = if link.backwards { link.right } else { link.left };
    Line {
        path: format!("M{left:.1} {from:.1}C{middle:.1} {from:.1} {middle:.1} {to:.1} {right:.1} {to:.1}"),
        target: link.target,
        relations: link.relations.clone(),
        arrives: net.slots[target_slot].card.is_some(),
        doubtful: link.relations.iter().all(|at| !schema.relations[*at].validated),
    }
}

/// How far below the top of its box the first of these columns stands; the head when it is not shown.
#[allow(clippy::cast_precision_loss, reason = "a box has few rows")]
fn row(card: &Card, schema: &Schema, columns: &[String]) -> f64 {
    let table = &schema.tables[card.table];
    let is_first = |row: &Row| row.column.is_some_and(|at| columns.first() == Some(&table.columns[at].name));
    card.rows.iter().position(is_first).map_or(HEAD / 2.0, |at| HEAD + (at as f64 + 0.5) * ROW)
}

/// The picture as an element of a page. `anchor` is what a click on a table leads to.
pub(in crate::report) fn svg(
    picture: &Picture,
    schema: &Schema,
    label: &str,
    anchor: impl Fn(usize) -> String,
) -> Markup {
    let (width, height) = (format!("{:.0}", picture.width.ceil()), format!("{:.0}", picture.height.ceil()));
    // It shrinks with the window, as long as it can be read; then it is moved instead.
    let style = format!("max-width:{width}px;min-width:{:.0}px", picture.width * SMALLEST);
    html! {
        svg role="img" aria-label=(label) width="100%" style=(style) viewBox={ "0 0 " (width) " " (height) } {
            @for line in &picture.lines {
                path class={ "line k" (line.target % COLOURS) @if line.doubtful { " doubtful" } } d=(line.path) {
                    title { (titles(line, schema)) }
                }
            }
            @for (number, card) in picture.cards.iter().enumerate() {
                a href=(anchor(card.table)) { (one(card, schema, number)) }
            }
        }
    }
}

fn titles(line: &Line, schema: &Schema) -> String {
    let title = |at: &usize| {
        let relation = &schema.relations[*at];
        let (from, to) = (relation.columns.join(", "), relation.references.join(", "));
        let valid = if relation.validated { "" } else { ", not validated" };
        visible(&format!(
            "{}({from}) → {}({to}), on delete {}{valid}",
            relation.from,
            relation.to,
            relation.on_delete.to_lowercase()
        ))
    };
    line.relations.iter().map(title).collect::<Vec<_>>().join("\n")
}

fn one(card: &Card, schema: &Schema, number: usize) -> Markup {
    let table = &schema.tables[card.table];
    let state = card.isolation.class();
    let mark = card.isolation.mark();
    let place = |value: f64| format!("{value:.1}");
    let referenced =
        schema.relations.iter().any(|relation| relation.to == table.object() && relation.from != relation.to);
    let right = place(card.x + card.width - 8.0);
    html! {
        g class={ "card " (state) } {
            title { (visible(&table.object())) " (" (table.kind.word()) ", " (card.isolation.word()) ")" }
            rect class="body" x=(place(card.x)) y=(place(card.y)) width=(place(card.width)) height=(place(card.height)) rx="5" {}
            rect class="head" x=(place(card.x)) y=(place(card.y)) width=(place(card.width)) height=(place(HEAD)) rx="5" {}
            @if referenced {
                circle class={ "end k" (number % COLOURS) } cx=(place(card.x + card.width)) cy=(place(card.y + HEAD / 2.0)) r="4" {}
            }
            text class="name" x=(place(card.x + 9.0)) y=(place(card.y + 16.0)) { (card.title) }
            @if !mark.is_empty() { text class="mark" x=(right) y=(place(card.y + 16.0)) { (mark) } }
            @for (at, row) in card.rows.iter().enumerate() { (column_text(card, at, row, &right)) }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a box has few rows")]
fn column_text(card: &Card, at: usize, row: &Row, right: &str) -> Markup {
    let y = format!("{:.1}", card.y + HEAD + (at as f64 + 0.5) * ROW + 4.0);
    let x = format!("{:.1}", card.x + 9.0);
    let class = if row.column.is_none() {
        "rest"
    } else if row.tenant {
        "column tenant"
    } else {
        "column"
    };
    html! {
        text class=(class) x=(x) y=(y) { (row.name) }
        text class="type" x=(right) y=(y) {
            (row.type_) @if !row.key.is_empty() { " " tspan class="key" { (row.key) } }
        }
    }
}
