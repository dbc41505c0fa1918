//! The order of migrations: ICU's root collation of their names, as Prisma sorts them.

use icu_collator::{Collator, CollatorBorrowed, CollatorPreferences, options::CollatorOptions};

/// Two names whose order depends on who sorts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// First by the bytes.
    pub first_by_bytes: String,
    /// First by the collation.
    pub first_by_collation: String,
}

/// Sorts names as Prisma does; says where sorting by bytes would give another order, because older engines do that.
pub fn sort<T>(items: &mut [T], name: impl Fn(&T) -> &str) -> Option<Ambiguous> {
    let by_bytes = items.is_sorted_by(|a, b| name(a) <= name(b)).then_some(());
    if by_bytes.is_none() {
        items.sort_by(|a, b| name(a).cmp(name(b)));
    }
    let collator = collator();
    let pair = items.windows(2).find(|pair| collator.compare(name(&pair[0]), name(&pair[1])).is_gt());
    let ambiguous = pair.map(|pair| Ambiguous { first_by_bytes: name(&pair[0]).to_owned(), first_by_collation: name(&pair[1]).to_owned() });
    if ambiguous.is_some() {
        items.sort_by(|a, b| collator.compare(name(a), name(b)));
    }
    ambiguous
}

fn collator() -> CollatorBorrowed<'static> {
    Collator::try_new(CollatorPreferences::default(), CollatorOptions::default()).expect("the root collation is compiled in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_have_one_order() {
        let mut names = ["20240217100000_b", "20240215120000_c", "20240216140000_a"];
        assert_eq!(sort(&mut names, |name| name), None);
        assert_eq!(names, ["20240215120000_c", "20240216140000_a", "20240217100000_b"]);
    }

    #[test]
    fn prefixes_of_different_width_are_ambiguous() {
        let mut names = ["20260115123456_b", "20260115_a"];
        let ambiguous = sort(&mut names, |name| name).expect("is noticed");
        assert_eq!(ambiguous.first_by_collation, "20260115_a");
        assert_eq!(names, ["20260115_a", "20260115123456_b"]);
    }

    #[test]
    fn case_is_ambiguous_where_the_time_is_the_same() {
        assert!(sort(&mut ["20240101000000_a", "20240101000000_B"], |name| name).is_some());
    }
}
