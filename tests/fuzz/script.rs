//! A file of migrations: directives, brackets, refusals.

use sluice::migrations::split;

use super::{
    Target,
    splitter::{SEEDS, WORDS},
};

pub const TARGET: Target = Target { name: "script", seeds: &SEEDS, documents: false, words: &WORDS, read };

fn read(text: &str) -> bool {
    let Ok(script) = split(text) else { return false };
    let count = script.statements.len();
    for (at, statement) in script.statements.iter().enumerate() {
        let (start, alone) = script.text(at..at + 1);
        assert_eq!((start, &*alone), (statement.start, statement.sql()));
        assert_eq!(statement.line as usize, text[..start].matches('\n').count() + 1);
    }
    let (start, whole) = script.text(0..count);
    if count > 0 {
        let there = &text[start..script.statements[count - 1].end];
        assert_eq!(whole.len(), there.len(), "a place in it is one of the file");
        // A comment may begin a line that did not before.
        if let Ok(mended) = split(&*whole) {
            assert_eq!(mended.statements.len(), count, "nothing else is left out");
            assert!(mended.marks.is_empty(), "and nothing that ends a transaction is left in");
        }
        let parts: Vec<_> = script.parts(0..count).collect();
        assert!(
            parts.first().is_some_and(|part| part.start == 0)
                && parts.last().is_some_and(|part| part.end == count)
        );
        assert!(parts.windows(2).all(|two| two[0].end == two[1].start && two[0].start < two[0].end));
    }
    true
}
