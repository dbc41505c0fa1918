//! The order of migrations: ICU's root collation of their names, as Prisma sorts them, also where sorting by
//! bytes would give another one.

use std::cmp::Ordering;

use icu_collator::{CollatorBorrowed, options::CollatorOptions};

/// The root collation alone, so that the tailorings of all languages are left out of the binary.
static COLLATOR: CollatorBorrowed<'static> = CollatorBorrowed::new_root(CollatorOptions::default());

/// Sorts by name as Prisma does. Names that the collation holds for equal are sorted by their bytes, so that
/// every machine agrees.
pub fn sort<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    // The second sort is stable, and mostly finds its work done.
    items.sort_by(|a, b| name(a).cmp(name(b)));
    items.sort_by(|a, b| COLLATOR.compare(name(a), name(b)));
}

/// Which of two names Prisma applies first.
pub fn compare(a: &str, b: &str) -> Ordering {
    COLLATOR.compare(a, b).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<const N: usize>(mut names: [&'static str; N]) -> [&'static str; N] {
        sort(&mut names, |name| name);
        names
    }

    /// What `[…].sort((a, b) => a.localeCompare(b))` gives, on which Prisma relies.
    #[test]
    fn the_order_is_prismas_also_where_bytes_would_give_another_one() {
        for expected in [
            ["20240215120000_c", "20240216140000_a", "20240217100000_b"],
            ["10_x", "20240101000000", "9_x"],
            ["1_a", "10_b", "2_c"],
            ["20240101000000_a", "20240101000000_B", "20240102_c"],
            ["202310122339_x", "20231012233901_y", "20231013_z"],
        ] {
            let mut reversed = expected;
            reversed.reverse();
            assert_eq!(sorted(reversed), expected);
        }
        assert_eq!(compare("20240101000000_a", "20240101000000_B"), Ordering::Less, "by bytes B comes first");
    }

    #[test]
    fn prefixes_of_different_width_are_sorted_as_prisma_does() {
        assert_eq!(sorted(["20260115123456_b", "20260115_a"]), ["20260115_a", "20260115123456_b"]);
    }
}
