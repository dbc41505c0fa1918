//! Which column of the picture a table stands in. PURE.
//!
//! A table stands right of those it refers to, as near as it can; a column that is full sends the rest on to
//! the next one. A cycle of references is cut where it closes.

use std::collections::{BTreeMap, BTreeSet};

/// One table refers to another, by one or more foreign keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    pub relations: Vec<usize>,
}

/// The column of each table; none for a table that no foreign key touches.
pub(super) fn layers(tables: usize, edges: &[Edge]) -> Vec<Option<usize>> {
    let mut parents: Vec<Vec<usize>> = vec![Vec::new(); tables];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); tables];
    for edge in edges {
        parents[edge.from].push(edge.to);
        children[edge.to].push(edge.from);
    }
    let touched: Vec<usize> =
        (0..tables).filter(|at| !parents[*at].is_empty() || !children[*at].is_empty()).collect();
    let order = parents_first(&touched, &parents);
    let mut rank = vec![0; tables];
    order.iter().enumerate().for_each(|(at, table)| rank[*table] = at);

    // A quarter of all in one column makes a page, not a ribbon.
    let capacity = touched.len().div_ceil(4).max(5);
    let mut layer: Vec<Option<usize>> = vec![None; tables];
    let mut full: Vec<usize> = Vec::new();
    let take = |desired: usize, full: &mut Vec<usize>| {
        let mut at = desired;
        loop {
            if full.len() <= at {
                full.resize(at + 1, 0);
            }
            if full[at] < capacity {
                full[at] += 1;
                return at;
            }
            at += 1;
        }
    };
    // Tables that refer to nothing wait until it is known how far right they are needed.
    let is_root = |table: usize| parents[table].iter().all(|parent| rank[*parent] > rank[table]);
    let depth = depths(&order, &parents, &rank);
    for table in order.iter().copied().filter(|table| is_root(*table)) {
        let nearest = children[table]
            .iter()
            .filter(|child| rank[**child] > rank[table])
            .map(|child| depth[*child])
            .min()
            .unwrap_or(1);
        layer[table] = Some(take(nearest.saturating_sub(1), &mut full));
    }
    for table in order.iter().copied().filter(|table| !is_root(*table)) {
        let before = parents[table].iter().filter(|parent| rank[**parent] < rank[table]);
        let desired = before.filter_map(|parent| layer[*parent]).max().map_or(0, |parent| parent + 1);
        layer[table] = Some(take(desired, &mut full));
    }
    close_gaps(&mut layer);
    layer
}

/// How long the longest path to a table that refers to nothing is.
fn depths(order: &[usize], parents: &[Vec<usize>], rank: &[usize]) -> Vec<usize> {
    let mut depth = vec![0; parents.len()];
    for table in order {
        let before = parents[*table].iter().filter(|parent| rank[**parent] < rank[*table]);
        depth[*table] = before.map(|parent| depth[*parent] + 1).max().unwrap_or(0);
    }
    depth
}

/// Every table after those it refers to, except where references form a cycle. Without recursion: a chain may
/// be long.
fn parents_first(tables: &[usize], parents: &[Vec<usize>]) -> Vec<usize> {
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    for start in tables {
        let mut path = vec![(*start, 0)];
        if !seen.insert(*start) {
            continue;
        }
        while let Some((table, next)) = path.last_mut() {
            if let Some(parent) = parents[*table].get(*next) {
                *next += 1;
                if seen.insert(*parent) {
                    path.push((*parent, 0));
                }
            } else {
                order.push(*table);
                path.pop();
            }
        }
    }
    order
}

fn close_gaps(layer: &mut [Option<usize>]) {
    let used: BTreeSet<usize> = layer.iter().flatten().copied().collect();
    let place: BTreeMap<usize, usize> =
        used.into_iter().enumerate().map(|(place, layer)| (layer, place)).collect();
    for at in layer.iter_mut().flatten() {
        *at = place.get(at).copied().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(usize, usize)]) -> Vec<Edge> {
        pairs.iter().map(|(from, to)| Edge { from: *from, to: *to, relations: Vec::new() }).collect()
    }

    #[test]
    fn a_circle_is_cut_and_a_table_alone_has_no_column() {
        let found = layers(4, &edges(&[(0, 1), (1, 2), (2, 0)]));
        assert_eq!(found[3], None);
        assert_eq!(found[..3].iter().flatten().collect::<BTreeSet<_>>().len(), 3, "{found:?}");
    }

    #[test]
    fn a_column_holds_a_quarter_of_the_tables() {
        let pairs: Vec<_> = (1..=40).map(|at| (at, 0)).collect();
        let found = layers(41, &edges(&pairs));
        for column in 0..5 {
            assert!(found.iter().flatten().filter(|at| **at == column).count() <= 11, "{found:?}");
        }
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let pairs: Vec<_> = (1..50_000).map(|at| (at, at - 1)).collect();
        assert_eq!(layers(50_000, &edges(&pairs))[49_999], Some(49_999));
    }
}
