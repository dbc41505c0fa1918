//! Inputs made from others: pieces taken out, doubled, moved, mixed, and bytes that mean something put in.

use fastrand::Rng;
use serde_json::Value;

use super::{Target, tree};

/// A sequence of inputs.
pub struct Inputs {
    random: Rng,
    seeds: &'static [&'static str],
    words: &'static [&'static str],
    /// The seeds that are documents, where the target reads such.
    documents: Vec<Value>,
}

const ANY: [&str; 24] = [
    "\0", "\\", "'", "\"", "$", "$$", "$a$", ";", "(", ")", "/*", "*/", "--", "\n", "\r\n", " ", "\u{feff}",
    "é", "\u{202e}", "😀", "{", "}", ":", "%",
];
/// Most inputs are short, so that many are read; some are long, because that is where time is lost.
const SHORT: usize = 400;
const LONG: usize = 50_000;

impl Inputs {
    pub fn of(seed: u64, target: &Target) -> Self {
        let Target { seeds, words, documents, .. } = *target;
        let read = |seed: &&str| serde_saphyr::from_str::<Value>(seed).expect("a seed is a document");
        let documents = if documents { seeds.iter().map(read).collect() } else { Vec::new() };
        Self { random: Rng::with_seed(seed), seeds, words, documents }
    }

    pub fn next(&mut self) -> String {
        if !self.documents.is_empty() && self.random.bool() {
            let document = &self.documents[self.random.usize(..self.documents.len())];
            return tree::changed(&mut self.random, document, self.words);
        }
        let mut text = self.seed().to_owned();
        let most = if self.random.u32(..1000) == 0 { LONG } else { SHORT };
        for _ in 0..self.random.u32(1..8) {
            self.change(&mut text, most);
        }
        while text.len() > most {
            let cut = self.place(&text, most / 2);
            text.truncate(cut);
        }
        text
    }

    fn seed(&mut self) -> &'static str {
        self.seeds[self.random.usize(..self.seeds.len())]
    }

    fn word(&mut self) -> &'static str {
        let at = self.random.usize(..self.words.len() + ANY.len());
        self.words.get(at).copied().unwrap_or_else(|| ANY[at - self.words.len()])
    }

    /// A boundary between characters, not after `most`.
    fn place(&mut self, text: &str, most: usize) -> usize {
        let mut at = self.random.usize(..=most.min(text.len()));
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn piece(&mut self, text: &str) -> (usize, usize) {
        let (one, other) = (self.place(text, text.len()), self.place(text, text.len()));
        (one.min(other), one.max(other))
    }

    fn change(&mut self, text: &mut String, most: usize) {
        let at = self.place(text, text.len());
        match self.random.u32(..8) {
            0 => {
                let (start, end) = self.piece(text);
                text.replace_range(start..end, "");
            }
            1 => {
                let (start, end) = self.piece(text);
                let piece = text[start..end].to_owned();
                text.insert_str(at, &piece);
            }
            2 => {
                let other = self.seed();
                let (start, end) = self.piece(other);
                text.insert_str(at, &other[start..end]);
            }
            3 => text.truncate(at),
            4 => {
                let word = self.word();
                let times = self.random.usize(1..=(most / word.len()).max(1));
                text.insert_str(at, &word.repeat(times));
            }
            5 => text.insert(at, self.random.char(..)),
            _ => {
                let word = self.word();
                text.insert_str(at, word);
            }
        }
    }
}
