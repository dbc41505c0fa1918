//! Which test produces each reason: a name that merely stands in a test proves nothing.
//!
//! A test produces a reason where it holds against it what Sluice made: inside an assertion, as an argument of
//! a function that asserts it, or in the table of a loop whose body does. What only the stages say is produced
//! by a test that runs them, not by one that hands the controller an Outcome.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use sluice::api::Reason;
use syn::{
    Block, Expr, FnArg, Macro, Pat, Signature,
    visit::{self, Visit},
};

use super::{
    tidy::{files, sources},
    walls::{room, tree},
};

/// The rooms whose reasons a test without a database can produce.
const WITHOUT_DATABASE: [&str; 3] = ["plan", "objects", "controller"];

/// Each reason with one test that produces it: `REASON: FILE TEST`.
const PRODUCED: &str = include_str!("reached.txt");

/// The identifiers in tokens, one after the other, groups included.
fn words(tokens: TokenStream, into: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => into.push(word.to_string()),
            TokenTree::Group(group) => words(group.stream(), into),
            TokenTree::Literal(text) => into.push(text.to_string()),
            TokenTree::Punct(_) => {}
        }
    }
}

fn words_of(tokens: impl ToTokens) -> Vec<String> {
    let mut found = Vec::new();
    words(tokens.to_token_stream(), &mut found);
    found
}

/// The reasons in words: `Reason::Applied`, or `"Applied"` as conditions have it.
fn reasons_in(words: &[String]) -> BTreeSet<String> {
    let typed = words.windows(2).filter(|two| two[0] == "Reason").map(|two| two[1].clone());
    let texts = words.iter().filter_map(|word| word.strip_prefix('"')?.strip_suffix('"')).map(str::to_owned);
    let known = |name: &String| Reason::ALL.iter().any(|reason| reason.name() == name);
    typed.chain(texts).filter(known).collect()
}

/// What a body claims.
#[derive(Default)]
struct Claims<'a> {
    /// The functions that assert one of their arguments.
    asserting: Option<&'a BTreeSet<String>>,
    /// The words inside of assertions.
    asserted: Vec<String>,
    reasons: BTreeSet<String>,
}

impl Claims<'_> {
    fn call(&mut self, name: &str, arguments: impl ToTokens) {
        if self.asserting.is_some_and(|known| known.contains(name)) {
            let words = words_of(arguments);
            self.reasons.extend(reasons_in(&words));
            self.asserted.extend(words);
        }
    }
}

impl<'ast> Visit<'ast> for Claims<'_> {
    fn visit_macro(&mut self, item: &'ast Macro) {
        let name = item.path.segments.last().map(|it| it.ident.to_string()).unwrap_or_default();
        if ["assert", "assert_eq"].contains(&name.as_str()) {
            let words = words_of(&item.tokens);
            self.reasons.extend(reasons_in(&words));
            self.asserted.extend(words);
        }
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        match expression {
            Expr::Call(call) => {
                let name = words_of(&call.func).pop().unwrap_or_default();
                self.call(&name, &call.args);
            }
            Expr::MethodCall(call) => self.call(&call.method.to_string(), &call.args),
            Expr::ForLoop(each) => {
                let mut body = Claims { asserting: self.asserting, ..Self::default() };
                body.visit_block(&each.body);
                if words_of(&each.pat).iter().any(|name| body.asserted.contains(name)) {
                    self.reasons.extend(reasons_in(&words_of(&each.expr)));
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expression);
    }
}

/// The functions of a file, and which of them are tests.
#[derive(Default)]
struct Functions<'ast>(Vec<(&'ast Signature, &'ast Block, bool)>);

impl<'ast> Visit<'ast> for Functions<'ast> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let is_test =
            item.attrs.iter().any(|it| words_of(it.path()).last().is_some_and(|last| last == "test"));
        self.0.push((&item.sig, &item.block, is_test));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.0.push((&item.sig, &item.block, false));
    }
}

/// The functions that assert a reason that they are given.
fn asserting(parsed: &BTreeMap<String, syn::File>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in parsed.values() {
        let mut functions = Functions::default();
        functions.visit_file(file);
        for (signature, body, _) in functions.0 {
            let given = signature.inputs.iter().filter_map(|argument| match argument {
                FnArg::Typed(it) if words_of(&it.ty).last().is_some_and(|last| last == "Reason") => {
                    match &*it.pat {
                        Pat::Ident(name) => Some(name.ident.to_string()),
                        _ => None,
                    }
                }
                _ => None,
            });
            let given: Vec<String> = given.collect();
            let mut claims = Claims::default();
            claims.visit_block(body);
            if given.iter().any(|name| claims.asserted.contains(name)) {
                found.insert(signature.ident.to_string());
            }
        }
    }
    found
}

/// The reasons that each test of some files produces: file and test, and what it claims.
fn claimed(parsed: &BTreeMap<String, syn::File>) -> BTreeMap<(String, String), BTreeSet<String>> {
    let asserting = asserting(parsed);
    let mut found = BTreeMap::new();
    for (path, file) in parsed {
        let mut functions = Functions::default();
        functions.visit_file(file);
        for (signature, body, _) in functions.0.into_iter().filter(|it| it.2) {
            let mut claims = Claims { asserting: Some(&asserting), ..Claims::default() };
            claims.visit_block(body);
            found.insert((path.clone(), signature.ident.to_string()), claims.reasons);
        }
    }
    found
}

/// The rooms whose code names each reason.
fn producers() -> BTreeMap<String, BTreeSet<String>> {
    let tree = tree();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mention in tree.mentions.iter().filter(|mention| !mention.for_tests) {
        if let [.., kind, name] = mention.path.as_slice()
            && kind == "Reason"
            && let Some(room) = room(&mention.module).filter(|room| *room != "api")
        {
            found.entry(name.clone()).or_default().insert(room.to_owned());
        }
    }
    found
}

#[test]
fn each_reason_is_produced_by_the_test_that_is_listed_for_it() {
    let tests = files("tests", ".rs").into_iter().chain(sources());
    let parsed: BTreeMap<String, syn::File> = tests
        .map(|file| {
            let syntax = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
            (file.path, syntax)
        })
        .collect();
    let (claimed, producers) = (claimed(&parsed), producers());
    let mut wrong = Vec::new();
    let produced: Vec<(&str, &str, &str)> = PRODUCED
        .lines()
        .map(|line| {
            let (reason, place) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
            let (file, test) = place.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            (reason, file, test)
        })
        .collect();
    for (reason, file, test) in &produced {
        match claimed.get(&((*file).to_owned(), (*test).to_owned())) {
            None => wrong.push(format!("{reason}: {file} has no test {test}")),
            Some(reasons) if !reasons.contains(*reason) => {
                wrong.push(format!("{reason}: {test} in {file} does not assert it"));
            }
            Some(_) => {}
        }
        let rooms = producers.get(*reason).cloned().unwrap_or_default();
        let by_itself = rooms.iter().any(|room| WITHOUT_DATABASE.contains(&room.as_str()));
        let at_home = rooms.iter().any(|room| file.starts_with(&format!("src/{room}/")));
        if rooms.is_empty() {
            wrong.push(format!("{reason}: no code produces it"));
        } else if !by_itself && !at_home && !file.starts_with("tests/postgres/") {
            wrong.push(format!("{reason}: only {rooms:?} say it, and {file} does not run them"));
        }
    }
    let listed: Vec<&str> = produced.iter().map(|(reason, ..)| *reason).collect();
    let all: Vec<&str> =
        Reason::ALL.iter().map(|reason| reason.name()).filter(|it| *it != "Unknown").collect();
    assert_eq!(listed, all, "the reasons in their order, each once");
    assert!(wrong.is_empty(), "ARCHITECTURE.md, invariant 8:\n{}", wrong.join("\n"));
}

#[test]
fn a_reason_that_a_test_only_hands_in_is_not_produced_by_it() {
    let text = "
        fn outcome(reason: Reason) -> Outcome { Outcome::failed(reason) }
        fn stopped(reason: Reason) { let found = run(); assert_eq!(found.reason, reason); }
        #[test] fn hands_in() { let plan = plan(outcome(Reason::Applied)); assert!(plan.is_some()); }
        #[test] fn names() { let _ = Reason::Applied; println!(\"Applied\"); }
        #[test] fn denies() { assert_ne!(run().reason, Reason::Applied); }
        #[test] fn asserts() { assert_eq!(run().reason, Reason::Applied); }
        #[test] fn as_a_condition() { assert_eq!(ready(), (\"True\", \"Applied\")); }
        #[test] fn through_another() { stopped(Reason::Applied); scene.stopped(Reason::Verified).await; }
        #[test] fn in_a_table() { for (a, why) in [(1, Reason::Applied)] { assert_eq!(run(a).reason, why); } }
        #[test] fn in_a_table_of_input() { for why in [Reason::Applied] { assert!(run(why)); } }
    ";
    let parsed = [("x.rs".to_owned(), syn::parse_file(text).expect("Rust"))].into();
    let claimed = claimed(&parsed);
    let of = |test: &str| -> Vec<&str> {
        claimed[&("x.rs".to_owned(), test.to_owned())].iter().map(String::as_str).collect()
    };
    for (test, expected) in [
        ("hands_in", &[][..]),
        ("names", &[]),
        ("denies", &[]),
        ("asserts", &["Applied"]),
        ("as_a_condition", &["Applied"]),
        ("through_another", &["Applied", "Verified"]),
        ("in_a_table", &["Applied"]),
        // It cannot be told from the one above; the list is read by people, too.
        ("in_a_table_of_input", &["Applied"]),
    ] {
        assert_eq!(of(test), expected, "{test}");
    }
}
