//! In which order tables and lines stand in each column, so that few lines cross. PURE.
//!
//! A line that passes a column gets a place of its own in it. Lines to the same table share that place.

use std::collections::BTreeMap;

use super::{boxes::Card, layers::Edge};

/// What takes a place in a column: a table, or a line that passes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slot {
    /// Its column.
    pub layer: usize,
    /// The table; none for a line.
    pub card: Option<usize>,
    /// How high it is.
    pub height: f64,
    /// Its top.
    pub y: f64,
}

/// A piece of line between two neighbouring columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    /// The slot on the left.
    pub left: usize,
    /// The slot on the right.
    pub right: usize,
    /// The table that it leads to.
    pub target: usize,
    /// The foreign keys that run along it.
    pub relations: Vec<usize>,
    /// It leads to the right: a cycle of references is closed by it.
    pub backwards: bool,
}

/// Everything between the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Net {
    pub slots: Vec<Slot>,
    pub links: Vec<Link>,
    /// The slots of each column, from top to bottom.
    pub columns: Vec<Vec<usize>>,
}

/// How high the place of a passing line is.
const LANE: f64 = 6.0;
/// So often the order is improved; fewer times where there is much to count.
const SWEEPS: usize = 16;
const MANY: usize = 600;

/// Gives each table and each passing line a place.
pub(super) fn route(cards: &[Card], layer: &[Option<usize>], edges: &[Edge]) -> Net {
    let mut net = Net::default();
    let mut slot_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, card) in cards.iter().enumerate() {
        if let Some(layer) = layer[at] {
            slot_of.insert(at, net.slots.len());
            net.slots.push(Slot { layer, card: Some(at), height: card.height, y: 0.0 });
        }
    }
    // The place of a line in a column, by the table that it leads to.
    let mut lanes: BTreeMap<(usize, usize, bool), usize> = BTreeMap::new();
    let mut links: BTreeMap<(usize, usize, usize, bool), Vec<usize>> = BTreeMap::new();
    for edge in edges {
        let (Some(&from), Some(&to)) = (slot_of.get(&edge.from), slot_of.get(&edge.to)) else { continue };
        let backwards = net.slots[from].layer < net.slots[to].layer;
        let (left, right) = if backwards { (from, to) } else { (to, from) };
        let mut before = left;
        for layer in net.slots[left].layer + 1..net.slots[right].layer {
            let lane = *lanes.entry((edge.to, layer, backwards)).or_insert_with(|| {
                net.slots.push(Slot { layer, card: None, height: LANE, y: 0.0 });
                net.slots.len() - 1
            });
            links.entry((before, lane, edge.to, backwards)).or_default().extend(&edge.relations);
            before = lane;
        }
        links.entry((before, right, edge.to, backwards)).or_default().extend(&edge.relations);
    }
    net.links = links
        .into_iter()
        .map(|((left, right, target, backwards), relations)| Link {
            left,
            right,
            target,
            relations,
            backwards,
        })
        .collect();
    let last = net.slots.iter().map(|slot| slot.layer + 1).max().unwrap_or(0);
    net.columns = vec![Vec::new(); last];
    for (at, slot) in net.slots.iter().enumerate() {
        net.columns[slot.layer].push(at);
    }
    // Lines in the middle: what hangs on them in the next column then stands beside this one, not below it.
    for column in &mut net.columns {
        let tables = column.iter().filter(|slot| net.slots[**slot].card.is_some()).count();
        column[tables / 2..].rotate_left(tables - tables / 2);
    }
    net
}

/// Sweeps over the columns and puts each slot between its neighbours; keeps the order with the fewest
/// crossings.
pub(super) fn arrange(net: &mut Net) {
    let mut best = (crossings(net), net.columns.clone());
    let sweeps = if net.links.len() > MANY { 4 } else { SWEEPS };
    for sweep in 0..sweeps {
        let to_the_right = sweep % 2 == 0;
        let place = places(net);
        let mut near: Vec<Vec<usize>> = vec![Vec::new(); net.slots.len()];
        for link in &net.links {
            if to_the_right {
                near[link.right].push(link.left);
            } else {
                near[link.left].push(link.right);
            }
        }
        let mut place = place;
        let count = net.columns.len();
        for step in 0..count {
            let column = if to_the_right { step } else { count - 1 - step };
            let mut slots: Vec<(f64, usize)> =
                net.columns[column].iter().map(|slot| (middle(&near[*slot], &place, *slot), *slot)).collect();
            slots.sort_by(|a, b| a.0.total_cmp(&b.0));
            net.columns[column] = slots.into_iter().map(|(_, slot)| slot).collect();
            renumber(&net.columns[column], &mut place);
        }
        let crossed = crossings(net);
        if crossed < best.0 {
            best = (crossed, net.columns.clone());
        }
    }
    net.columns = best.1;
}

#[allow(clippy::cast_precision_loss, reason = "places are small numbers")]
fn middle(near: &[usize], place: &[f64], own: usize) -> f64 {
    if near.is_empty() {
        place[own]
    } else {
        near.iter().map(|slot| place[*slot]).sum::<f64>() / near.len() as f64
    }
}

/// Where each slot stands in its column, from 0 to 1.
fn places(net: &Net) -> Vec<f64> {
    let mut place = vec![0.0; net.slots.len()];
    net.columns.iter().for_each(|column| renumber(column, &mut place));
    place
}

#[allow(clippy::cast_precision_loss, reason = "places are small numbers")]
fn renumber(column: &[usize], place: &mut [f64]) {
    column.iter().enumerate().for_each(|(at, slot)| place[*slot] = (at as f64 + 0.5) / column.len() as f64);
}

/// How many pairs of lines cross.
fn crossings(net: &Net) -> usize {
    let place = places(net);
    let mut between: Vec<Vec<(f64, f64)>> = vec![Vec::new(); net.columns.len()];
    for link in &net.links {
        between[net.slots[link.left].layer].push((place[link.left], place[link.right]));
    }
    let crossed = |links: &Vec<(f64, f64)>| {
        let pairs = links.iter().enumerate().flat_map(|(at, a)| links[at + 1..].iter().map(move |b| (a, b)));
        pairs.filter(|(a, b)| (a.0 - b.0) * (a.1 - b.1) < 0.0).count()
    };
    between.iter().map(crossed).sum()
}
