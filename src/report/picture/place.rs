//! Where on the page everything stands, once the order is known. PURE.

use super::{
    MARGIN, WAY,
    boxes::{Card, HEAD},
    order::Net,
};

/// Between two tables of a column.
const SPACE: f64 = 16.0;
/// So often everything moves towards its neighbours.
const ROUNDS: usize = 12;

/// Places slots and tables; returns the width and the height of the whole.
pub(super) fn place(net: &mut Net, cards: &mut [Card]) -> (f64, f64) {
    let mut near: Vec<(Vec<usize>, Vec<usize>)> = vec![(Vec::new(), Vec::new()); net.slots.len()];
    for link in &net.links {
        near[link.right].0.push(link.left);
        near[link.left].1.push(link.right);
    }
    for column in net.columns.clone() {
        settle(net, &column, |_| 0.0);
    }
    let count = net.columns.len();
    for round in 0..ROUNDS {
        for step in 0..count {
            let at = if round % 2 == 0 { step } else { count - 1 - step };
            let column = net.columns[at].clone();
            let desired: Vec<f64> =
                column.iter().map(|slot| desired(net, &near[*slot], *slot, round)).collect();
            settle(net, &column, |place| desired[place]);
        }
    }
    let top = net.slots.iter().map(|slot| slot.y).fold(f64::INFINITY, f64::min);
    let mut height = MARGIN;
    for slot in &mut net.slots {
        slot.y += MARGIN - if top.is_finite() { top } else { 0.0 };
        height = height.max(slot.y + slot.height + MARGIN);
    }
    let mut x = MARGIN;
    for column in &net.columns {
        let tables: Vec<(usize, f64)> = column
            .iter()
            .filter_map(|slot| net.slots[*slot].card.map(|card| (card, net.slots[*slot].y)))
            .collect();
        let widest = tables.iter().map(|(card, _)| cards[*card].width).fold(0.0, f64::max);
        for (card, y) in tables {
            (cards[card].x, cards[card].y, cards[card].width) = (x, y, widest);
        }
        x += widest + WAY;
    }
    (if count == 0 { MARGIN } else { x - WAY + MARGIN }, height)
}

/// Where lines leave and arrive: in the head of a table, in the middle of a lane.
fn port(net: &Net, slot: usize) -> f64 {
    let slot = &net.slots[slot];
    if slot.card.is_some() { HEAD / 2.0 } else { slot.height / 2.0 }
}

/// The top that would make lines straight. Early rounds look to one side, so that a column follows the one
/// before it.
#[allow(clippy::cast_precision_loss, reason = "a table has few neighbours")]
fn desired(net: &Net, near: &(Vec<usize>, Vec<usize>), slot: usize, round: usize) -> f64 {
    let one_side = if round.is_multiple_of(2) { &near.0 } else { &near.1 };
    let both: Vec<usize> = near.0.iter().chain(&near.1).copied().collect();
    let neighbours = if round + 3 < ROUNDS && !one_side.is_empty() { one_side } else { &both };
    if neighbours.is_empty() {
        return net.slots[slot].y;
    }
    let sum: f64 = neighbours.iter().map(|other| net.slots[*other].y + port(net, *other)).sum();
    sum / neighbours.len() as f64 - port(net, slot)
}

/// Moves the slots of a column as near to where they want to be as their order and the space between them
/// allow: neighbours that would overlap become one block, which stands at the mean of what they want.
#[allow(clippy::cast_precision_loss, reason = "a column has few slots")]
fn settle(net: &mut Net, column: &[usize], desired: impl Fn(usize) -> f64) {
    let mut offsets = Vec::with_capacity(column.len());
    let mut offset = 0.0;
    for (at, slot) in column.iter().enumerate() {
        offsets.push(offset);
        let lane = |slot: &usize| net.slots[*slot].card.is_none();
        let close = lane(slot) && column.get(at + 1).is_some_and(lane);
        offset += net.slots[*slot].height + if close { SPACE / 4.0 } else { SPACE };
    }
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (at, offset) in offsets.iter().enumerate() {
        blocks.push((desired(at) - offset, 1));
        while let [.., (before, many), (last, few)] = blocks.as_slice()
            && before > last
        {
            let joined = ((before * *many as f64 + last * *few as f64) / (many + few) as f64, many + few);
            blocks.truncate(blocks.len() - 2);
            blocks.push(joined);
        }
    }
    let places = blocks.into_iter().flat_map(|(top, many)| std::iter::repeat_n(top, many));
    for ((slot, offset), top) in column.iter().zip(offsets).zip(places) {
        net.slots[*slot].y = top + offset;
    }
}
