//! The whole system by seed: two instances of the controller's real loops, a model of the API server, of kubelets and of
//! databases, under virtual time. A seed makes a story of edits and faults; after every step the invariants must hold,
//! and when the faults end everything must come to its end, and then nothing may be written any more.
//!
//! `make simulate SEEDS=n` tries n seeds, `SEED=s` tells the one story of a seed, `FIRST=s` begins elsewhere. A seed that
//! fails is told with its story, made as small as it can be; put into `kept/`, it is tried by every later run.

#![allow(clippy::panic, reason = "a test ends by panicking")]

#[path = "../contract/api_server.rs"]
#[allow(dead_code, reason = "the contract tests have this file, too, and need more of it")]
mod api_server;
mod changes;
mod coverage;
mod instances;
mod invariants;
#[path = "../contract/kubelet.rs"]
#[allow(dead_code, reason = "the contract tests have this file, too, and need more of it")]
mod kubelet;
mod network;
mod nodes;
mod oracle;
mod people;
mod plot;
mod postgres;
mod shrink;
mod stages;
mod story;
mod truth;
mod windows;
mod world;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use mimalloc::MiMalloc;
use sha2::{Digest as _, Sha256};

use coverage::Coverage;
use story::Story;
use world::{Failure, World};

/// Half of what a world does is to make and drop JSON.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Among so many seeds each kind of event and fault happens.
const ENOUGH: u64 = 500;

/// How a life went.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    failure: Option<Failure>,
    trace: Vec<String>,
    coverage: Coverage,
}

impl Verdict {
    fn fails_as(&self, other: &Self) -> bool {
        let invariant = |verdict: &Self| verdict.failure.as_ref().map(|failure| failure.invariant);
        self.failure.is_some() && invariant(self) == invariant(other)
    }

    fn digest(&self) -> String {
        Sha256::digest(self.trace.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Lives a story, with a trace or without.
fn verdict(story: &Story, traced: bool) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(story, traced);
        let failure = world.live().await.err();
        Verdict { failure, trace: world.trace.unwrap_or_default(), coverage: world.coverage }
    })
}

/// The same; what panics fails, too.
fn guarded(story: &Story, traced: bool) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| verdict(story, traced))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let failure = Some(Failure::new("no panic", text.unwrap_or_default()));
        Verdict { failure, trace: Vec::new(), coverage: Coverage::default() }
    })
}

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Everything that a person needs to see why a story fails.
fn report(story: &Story, found: &Verdict) -> String {
    let (story, found) = shrink::smallest(story, found.clone());
    let failure = found.failure.clone().expect("it fails");
    let tail = found.trace.len().saturating_sub(60);
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{}.json", story.seed));
    let text = serde_json::to_string_pretty(&story).expect("JSON");
    fs::write(&file, &text).expect("the story is written down");
    format!(
        "seed {}: the invariant {:?} does not hold: {}\n\nthe end of its trace:\n{}\n\nthe story, as small as it can be \
         (it is in {}; copy it to tests/simulation/kept/):\n{}",
        story.seed,
        failure.invariant,
        failure.message,
        found.trace[tail..].join("\n"),
        file.display(),
        serde_json::to_string(&story).expect("JSON"),
    )
}

/// What came of many seeds: the first one that fails, and what they cover.
#[derive(Default)]
struct Findings {
    failing: Option<u64>,
    coverage: Coverage,
}

fn try_seeds(first: u64, seeds: u64) -> Findings {
    let (next, found) = (AtomicU64::new(first), Mutex::new(Findings::default()));
    let threads = number("THREADS").and_then(|threads| usize::try_from(threads).ok());
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(2, usize::from));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while found.lock().expect("the findings").failing.is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let verdict = guarded(&Story::of(seed), false);
                    let mut found = found.lock().expect("the findings");
                    found.coverage.add(&verdict.coverage);
                    if verdict.failure.is_some() {
                        found.failing = Some(found.failing.map_or(seed, |other| other.min(seed)));
                    }
                }
            });
        }
    });
    found.into_inner().expect("the findings")
}

#[test]
fn whatever_people_do_and_whatever_goes_wrong_the_invariants_hold() {
    let (first, seeds) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(60));
    let begun = Instant::now();
    let Findings { failing, coverage } = try_seeds(first, seeds);
    if let Some(seed) = failing {
        let story = Story::of(seed);
        panic!("{}", report(&story, &guarded(&story, true)));
    }
    println!("{coverage}\n{seeds} seeds from {first} on hold, in {:.1} s", begun.elapsed().as_secs_f64());
    // So many stories have everything in them.
    if seeds >= ENOUGH {
        assert!(coverage.missing().is_empty(), "never happened: {:?}\n{coverage}", coverage.missing());
    }
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..number("REPEATED").unwrap_or(10) {
        let story = Story::of(seed);
        let (one, other) = (guarded(&story, true), guarded(&story, true));
        if one.digest() != other.digest() {
            let at = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other).unwrap_or(0);
            let around = |verdict: &Verdict| {
                verdict.trace[at.saturating_sub(5)..(at + 3).min(verdict.trace.len())].join("\n")
            };
            panic!("seed {seed} went two ways:\n{}\n--\n{}", around(&one), around(&other));
        }
        assert!(!one.trace.is_empty(), "seed {seed} did nothing");
    }
}

#[test]
fn every_kept_story_holds() {
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/kept");
    for entry in fs::read_dir(kept).expect("the kept stories").map(|entry| entry.expect("an entry").path()) {
        if entry.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let text = fs::read_to_string(&entry).expect("a story");
        let story: Story =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", entry.display()));
        let found = guarded(&story, true);
        assert!(found.failure.is_none(), "{}\n{}", entry.display(), report(&story, &found));
    }
}

#[test]
fn a_story_is_the_same_story_when_it_was_written_down() {
    for seed in 0..200 {
        let story = Story::of(seed);
        let text = serde_json::to_string(&story).expect("JSON");
        assert_eq!(serde_json::from_str::<Story>(&text).expect("a story"), story);
        assert_eq!(Story::of(seed), story);
    }
}

/// `INVARIANT=one|or another`: by which the bug is to be found that was planted.
#[test]
#[ignore = "bugs/run plants one first"]
fn a_planted_bug_is_found() {
    let expected = std::env::var("INVARIANT").expect("INVARIANT");
    let seeds = number("SEEDS").unwrap_or(500);
    let Some(seed) = try_seeds(0, seeds).failing else { panic!("{seeds} seeds hold with it") };
    let failure = guarded(&Story::of(seed), false).failure.expect("it fails again");
    let message: String = failure.message.chars().take(200).collect();
    assert!(
        expected.split('|').any(|invariant| invariant == failure.invariant),
        "seed {seed} breaks {:?} and not {expected:?}: {message}",
        failure.invariant
    );
    println!("seed {seed} breaks {:?}: {message}", failure.invariant);
}

/// `SEED=s`: the whole trace of one story.
#[test]
#[ignore = "tells a story to a person"]
fn tell() {
    let story = Story::of(number("SEED").unwrap_or(0));
    let found = guarded(&story, true);
    println!(
        "{}\n{}\n{:#?}",
        serde_json::to_string(&story).expect("JSON"),
        found.trace.join("\n"),
        found.failure
    );
}

/// Every seed that fails, and how, without their stories.
#[test]
#[ignore = "tells many seeds to a person"]
fn survey() {
    let first = number("FIRST").unwrap_or(0);
    for seed in first..first + number("SEEDS").unwrap_or(60) {
        if let Some(failure) = guarded(&Story::of(seed), false).failure {
            let message: String = failure.message.chars().take(300).collect();
            println!("seed {seed}: {:?}: {message}", failure.invariant);
        }
    }
}
