//! Where in a YAML file a field of an object stands.

use granit_parser::{Event, Marker, Parser};

/// Line and column, counted from 1, of a field of the first object of this kind. `path` is as kubectl writes
/// it: `spec.migrations.configMaps[1]`. None where the file has no such field.
pub(super) fn of(text: &str, kind: &str, path: &str) -> Option<(usize, usize)> {
    let nodes = nodes(text);
    let head = nodes.iter().find(|node| node.value == kind && own(&node.path) == "kind")?;
    let wanted = format!("{}{path}", head.path.strip_suffix("kind")?);
    let found = nodes.iter().find(|node| node.document == head.document && node.path == wanted)?;
    Some((found.place.line(), found.place.col() + 1))
}

/// The last part of a path.
fn own(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

struct Node {
    document: usize,
    path: String,
    /// Where the key stands, or an element of a list begins.
    place: Marker,
    /// What a key has in the same line; empty where it has more than a word.
    value: String,
}

/// A mapping or a sequence that is not over yet.
enum Open {
    Mapping { path: String, key: Option<(String, Marker)> },
    Sequence { path: String, next: usize },
}

/// Every field of every document. A file that is no YAML has those before its error.
fn nodes(text: &str) -> Vec<Node> {
    let (mut nodes, mut open) = (Vec::new(), Vec::new());
    let (mut parser, mut document) = (Parser::new_from_str(text), 0);
    while let Some(Ok((event, span))) = parser.next_event() {
        match event {
            Event::DocumentStart(..) => document += 1,
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
            }
            Event::Scalar(value, ..) => {
                if let Some(Open::Mapping { key: key @ None, .. }) = open.last_mut() {
                    *key = Some((value.into_owned(), span.start));
                } else {
                    begins(&mut open, &mut nodes, (document, span.start), &value);
                }
            }
            Event::Alias(..) => {
                begins(&mut open, &mut nodes, (document, span.start), "");
            }
            Event::MappingStart(..) => {
                let path = begins(&mut open, &mut nodes, (document, span.start), "");
                open.push(Open::Mapping { path, key: None });
            }
            Event::SequenceStart(..) => {
                let path = begins(&mut open, &mut nodes, (document, span.start), "");
                open.push(Open::Sequence { path, next: 0 });
            }
            _ => {}
        }
    }
    nodes
}

/// A value begins: it is noted with its path, which is answered.
fn begins(
    open: &mut [Open],
    nodes: &mut Vec<Node>,
    (document, start): (usize, Marker),
    value: &str,
) -> String {
    let (path, place) = match open.last_mut() {
        Some(Open::Mapping { path, key }) => {
            let (key, place) = key.take().unwrap_or_else(|| (String::new(), start));
            (if path.is_empty() { key } else { format!("{path}.{key}") }, place)
        }
        Some(Open::Sequence { path, next }) => {
            *next += 1;
            (format!("{path}[{}]", *next - 1), start)
        }
        None => return String::new(),
    };
    nodes.push(Node { document, path: path.clone(), place, value: value.to_owned() });
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "kind: Secret\nspec: {a: 1}\n---\n# a comment\nkind: DatabaseMigration\nspec:\n  a: &x\n    - b: 1\n    - {c: [2, *x], kind: List}\n";

    #[test]
    fn a_field_is_found_in_the_object_of_its_kind_however_it_is_written() {
        let place = |path| of(FILE, "DatabaseMigration", path);
        assert_eq!(place("spec.a"), Some((7, 3)));
        assert_eq!(place("spec.a[0].b"), Some((8, 7)));
        assert_eq!(place("spec.a[1].c[0]"), Some((9, 12)));
        assert_eq!(place("spec.a[1].d"), None);
        assert_eq!(of(FILE, "MigrationPolicy", "spec.a"), None);
        let list = "kind: DatabaseMigrationList\nitems:\n- kind: DatabaseMigration\n  spec:\n    a: 1\n";
        assert_eq!(of(list, "DatabaseMigration", "spec.a"), Some((5, 5)));
    }

    #[test]
    fn a_file_that_is_no_yaml_has_no_places_and_ends() {
        for text in ["", "{", "a: [", "\0", "- - -\n\t- x", "? ?\n: :"] {
            assert_eq!(of(text, "DatabaseMigration", "spec.a"), None, "{text:?}");
        }
    }
}
