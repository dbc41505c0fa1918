//! Which module mentions which: reads Rust sources with `syn`, so that nested groups, renames, `super::` and
//! paths in the middle of an expression, an attribute or a macro count like any other import.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// A path from the root of the crate: `["crate", "plan", "judge"]`.
pub type Path = Vec<String>;

/// A path that stands in a module.
pub struct Mention {
    /// The module it stands in.
    pub module: Path,
    /// As it is written.
    pub path: Path,
    /// It stands in a `use` that gives the name on.
    pub given_on: bool,
    /// It is only compiled for tests.
    pub for_tests: bool,
}

/// What a module makes known under which name.
#[derive(Default)]
struct Module {
    file: String,
    names: BTreeMap<String, Path>,
    globs: Vec<Path>,
    items: BTreeSet<String>,
}

/// All modules of a crate, and what they mention.
#[derive(Default)]
pub struct Tree {
    modules: BTreeMap<Path, Module>,
    pub mentions: Vec<Mention>,
}

impl Tree {
    /// Reads files, each with its path below the top.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut tree = Self::default();
        let mut of_tests: Vec<Path> = Vec::new();
        for (file, text) in files {
            let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
            let module = module_of(file);
            file.clone_into(&mut tree.modules.entry(module.clone()).or_default().file);
            let mut reader =
                Reader { tree: &mut tree, of_tests: &mut of_tests, file, module, for_tests: false };
            for item in &syntax.items {
                reader.name(item);
            }
            visit::visit_file(&mut reader, &syntax);
        }
        for mention in &mut tree.mentions {
            mention.for_tests |= of_tests.iter().any(|module| mention.module.starts_with(module));
        }
        tree
    }

    /// The file that a mention stands in.
    pub fn file(&self, mention: &Mention) -> &str {
        &self.modules[&mention.module].file
    }

    /// The path from the root of the crate; none for what is not of this crate.
    pub fn absolute(&self, mention: &Mention) -> Option<Path> {
        let (first, rest) = mention.path.split_first()?;
        let mut module = mention.module.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" => module.truncate(1),
            "sluice" if module == ["main"] => module = vec!["crate".to_owned()],
            "self" => {}
            "super" => {
                module.pop();
                while let Some((next, further)) = rest.split_first()
                    && next == "super"
                {
                    module.pop();
                    rest = further;
                }
            }
            name => {
                let known = self.modules.get(&module)?;
                module.push(name.to_owned());
                if !self.modules.contains_key(&module) {
                    let target = known.names.get(name)?;
                    if target == &mention.path {
                        return None;
                    }
                    module.pop();
                    let given = Mention {
                        module,
                        path: target.clone(),
                        given_on: false,
                        for_tests: mention.for_tests,
                    };
                    module = self.absolute(&given)?;
                }
            }
        }
        module.extend(rest.iter().cloned());
        Some(module)
    }

    /// The file where that which a mention names is written down, through every module that only gives it on.
    pub fn home(&self, mention: &Mention) -> Option<&str> {
        let path = self.absolute(mention)?;
        let module = self.walk(&path, 0)?;
        Some(&self.modules[&module].file)
    }

    /// The module in which a path ends.
    fn walk(&self, path: &[String], depth: usize) -> Option<Path> {
        let mut at = (1..=path.len()).rev().find(|at| self.modules.contains_key(&path[..*at]))?;
        let module = &self.modules[&path[..at]];
        let Some(name) = path.get(at) else { return Some(path.to_vec()) };
        at += 1;
        // A cycle of names that are given on has no home.
        if depth > 20 {
            return None;
        }
        let from = path[..at - 1].to_vec();
        let follow = |target: &Path, also: &[String]| {
            let given =
                Mention { module: from.clone(), path: target.clone(), given_on: false, for_tests: false };
            let mut further = self.absolute(&given)?;
            further.extend(also.iter().cloned());
            self.walk(&further, depth + 1)
        };
        if let Some(target) = module.names.get(name)
            && let Some(found) = follow(target, &path[at..])
        {
            return Some(found);
        }
        if module.items.contains(name) {
            return Some(from);
        }
        let through = module.globs.iter().find_map(|glob| {
            let found = follow(glob, &path[at - 1..])?;
            let known = &self.modules[&found];
            (known.items.contains(name) || known.names.contains_key(name)).then_some(found)
        });
        Some(through.unwrap_or(from))
    }
}

/// `src/plan/judge.rs` is `crate::plan::judge`.
fn module_of(file: &str) -> Path {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    match inside {
        "main" => vec!["main".to_owned()],
        "lib" => vec!["crate".to_owned()],
        _ => std::iter::once("crate")
            .chain(inside.trim_end_matches("/mod").split('/'))
            .map(str::to_owned)
            .collect(),
    }
}

struct Reader<'a> {
    tree: &'a mut Tree,
    of_tests: &'a mut Vec<Path>,
    file: &'a str,
    module: Path,
    for_tests: bool,
}

impl Reader<'_> {
    fn mention(&mut self, path: Path, given_on: bool) {
        let (module, for_tests) = (self.module.clone(), self.for_tests);
        self.tree.mentions.push(Mention { module, path, given_on, for_tests });
    }

    fn here(&mut self) -> &mut Module {
        self.tree.modules.entry(self.module.clone()).or_default()
    }

    /// Notes the name of an item.
    fn name(&mut self, item: &Item) {
        let name = match item {
            Item::Const(it) => &it.ident,
            Item::Enum(it) => &it.ident,
            Item::Fn(it) => &it.sig.ident,
            Item::Static(it) => &it.ident,
            Item::Struct(it) => &it.ident,
            Item::Trait(it) => &it.ident,
            Item::Type(it) => &it.ident,
            _ => return,
        };
        let name = name.to_string();
        self.here().items.insert(name);
    }

    /// The leaves of a `use`.
    fn leaves(&mut self, tree: &UseTree, before: &[String], given_on: bool) {
        let with = |last: &syn::Ident| -> Path {
            let last = last.to_string();
            // `use crate::postgres::{self}` is `crate::postgres`.
            let last = (last != "self" || before.is_empty()).then_some(last);
            before.iter().cloned().chain(last).collect()
        };
        match tree {
            UseTree::Path(it) => self.leaves(&it.tree, &with(&it.ident), given_on),
            UseTree::Name(it) => {
                let path = with(&it.ident);
                let name = path.last().cloned().unwrap_or_default();
                self.here().names.insert(name, path.clone());
                self.mention(path, given_on);
            }
            UseTree::Rename(it) => {
                let path = with(&it.ident);
                self.here().names.insert(it.rename.to_string(), path.clone());
                self.mention(path, given_on);
            }
            UseTree::Glob(_) => {
                self.here().globs.push(before.to_vec());
                self.mention(before.to_vec(), given_on);
            }
            UseTree::Group(it) => {
                for tree in &it.items {
                    self.leaves(tree, before, given_on);
                }
            }
        }
    }

    /// The paths in tokens whose syntax only their macro knows. `texts` are strings that are paths.
    fn tokens(&mut self, tokens: TokenStream, before: &[String], texts: bool) {
        let mut tokens = tokens.into_iter().peekable();
        let mut path = before.to_vec();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(name) => {
                    path.push(name.to_string());
                    let mut colons = 0;
                    while let Some(TokenTree::Punct(it)) = tokens.peek()
                        && it.as_char() == ':'
                        && colons < 2
                    {
                        colons += 1;
                        tokens.next();
                    }
                    let goes_on = matches!(tokens.peek(), Some(TokenTree::Ident(_)))
                        || matches!(tokens.peek(), Some(TokenTree::Group(_)));
                    if colons == 2 && goes_on {
                        if let Some(TokenTree::Group(group)) = tokens.peek() {
                            self.tokens(group.stream(), &path, texts);
                            tokens.next();
                            path = before.to_vec();
                        }
                    } else {
                        self.mention(std::mem::replace(&mut path, before.to_vec()), false);
                    }
                }
                TokenTree::Group(group) => self.tokens(group.stream(), &[], texts),
                TokenTree::Literal(literal) if texts => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if let Ok(path) = syn::parse_str::<syn::Path>(text)
                        && text.contains("::")
                    {
                        self.visit_path(&path);
                    }
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => attribute.path().is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(it) => &it.attrs,
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Static(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            _ => &[],
        };
        let for_tests = self.for_tests;
        self.for_tests |= only_for_tests(attributes);
        visit::visit_item(self, item);
        self.for_tests = for_tests;
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        if let Some((_, items)) = &item.content {
            self.here().file = self.file.to_owned();
            for item in items {
                self.name(item);
                self.visit_item(item);
            }
        } else if self.for_tests {
            self.of_tests.push(self.module.clone());
        }
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.leaves(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.mention(path.segments.iter().map(|it| it.ident.to_string()).collect(), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.tokens(item.tokens.clone(), &[], false);
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone(), &[], true);
        }
    }

    /// `pub(in crate::check)` says who may see something, and brings nothing in.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
