//! Random inputs, for whatever reads what others wrote: no panic, no hang, and what is promised holds. `make
//! fuzz`; one file per target.
//!
//! `FUZZ=n` inputs for each target, `FUZZ_SEED=s` for another sequence. The same seed makes the same inputs.

#![allow(clippy::panic, reason = "a test ends by panicking")]

mod manifest;
mod mutate;
mod outcome;
mod redaction;
mod script;
mod splitter;
mod tree;
mod url;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mutate::Inputs;

/// Something that reads what others wrote.
struct Target {
    name: &'static str,
    /// What real inputs look like.
    seeds: &'static [&'static str],
    /// They are documents: every second input is made from their values instead of their characters.
    documents: bool,
    /// Pieces that are put into them.
    words: &'static [&'static str],
    /// Reads one, and says whether it could be read; panics where what is promised does not hold.
    read: fn(&str) -> bool,
}

const TARGETS: [Target; 6] =
    [splitter::TARGET, script::TARGET, redaction::TARGET, outcome::TARGET, manifest::TARGET, url::TARGET];

/// How long one input may take; one that takes far longer is a hang.
const SLOW: Duration = Duration::from_secs(2);
const HANG: Duration = Duration::from_secs(30);

#[test]
fn whatever_is_read_nothing_panics_and_nothing_hangs() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (count, seed) = (number("FUZZ", 20_000), number("FUZZ_SEED", 1));
    for target in &TARGETS {
        let begun = Instant::now();
        let read = AtomicU64::new(0);
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let read = &read;
                scope.spawn(move || {
                    read.fetch_add(work(target, seed * 1000 + thread, count / threads + 1), Ordering::Relaxed)
                });
            }
        });
        let read = read.into_inner();
        println!(
            "{}: {count} inputs, of which {read} could be read, in {:.1?}",
            target.name,
            begun.elapsed()
        );
        assert!(read > count / 50, "{}: what no input gets past is not tried", target.name);
    }
}

/// What is being read, and since when.
type Current = Mutex<Option<(Instant, String)>>;

/// How long this thread has worked: other processes of the machine do not count.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a clock does not go backwards")
}

/// How many could be read.
fn work(target: &Target, seed: u64, count: u64) -> u64 {
    let (current, ended, mut could) = (Current::default(), AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| watch(target, seed, &current, &ended));
        let mut inputs = Inputs::of(seed, target);
        for number in 0..count {
            let input = inputs.next();
            *current.lock().expect("the watcher does not panic") = Some((Instant::now(), input.clone()));
            let begun = worked();
            let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&input)));
            let took = worked().saturating_sub(begun);
            could += u64::from(*read.as_ref().unwrap_or(&false));
            if read.is_err() || took > SLOW {
                ended.store(true, Ordering::Relaxed);
                panic!("{}, seed {seed}, input {number}, after {took:?}: {input:?}", target.name);
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    could
}

/// Nothing in this process can end a thread that hangs.
fn watch(target: &Target, seed: u64, current: &Current, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(100));
        let hangs = current.lock().map(|current| current.clone().filter(|(since, _)| since.elapsed() > HANG));
        if let Ok(Some((_, input))) = hangs {
            eprintln!("{}, seed {seed}: hangs on {input:?}", target.name);
            std::process::abort();
        }
    }
}
