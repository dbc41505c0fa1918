//! `spec.before.window` as meant: a schedule, a time zone and a duration that were checked, and when such a
//! window is open. PURE: the moment is a parameter, and the time zones are those in the binary.
//!
//! The schedule speaks in local time. A local time that does not exist, because the clock is set forward, moves
//! forward by as much; of one that exists twice the first counts.

use std::{fmt, sync::LazyLock};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::Violation;
use crate::api;

/// The zones of the binary: files of the machine would be other ones on another machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The shortest window, and the longest.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A schedule that has not come in so long never comes: a leap day comes after eight years at most, and after
/// forty on one day of the week.
const YEARS: i16 = 60;
/// So long before a moment its offset may have been another one and still matter: more than any clock was ever
/// set forward or back at once.
const A_CHANGE: SignedDuration = SignedDuration::from_hours(26);

/// When a run may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// As the manifest writes it.
    pub written: api::Window,
    cron: Cron,
    zone: TimeZone,
    duration: SignedDuration,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let api::Window { schedule, duration, time_zone } = &self.written;
        write!(f, "{schedule:?} for {duration}, {time_zone}")
    }
}

/// How a window stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// It is open.
    Open {
        /// When it closes; a later moment than it was asked for counts as that one.
        until: Timestamp,
    },
    /// It is closed.
    Closed {
        /// When it opens; `None` where that cannot be told.
        until: Option<Timestamp>,
    },
}

impl Window {
    /// Reads a window, or says what is wrong with it.
    pub fn read(written: &api::Window, violations: &mut Vec<Violation>) -> Option<Self> {
        let mut wrong = |field: &'static str, problem: String| {
            violations.push(Violation { field: field.into(), problem });
        };
        let duration = SignedDuration::try_from(written.duration.duration()).unwrap_or(SignedDuration::MAX);
        if !(SHORTEST..=LONGEST).contains(&duration) {
            wrong(
                "spec.before.window.duration",
                format!("is {}: a window is open for at least 1m and at most 168h", written.duration),
            );
        }
        let zone = ZONES.get(&written.time_zone);
        if zone.is_err() {
            wrong(
                "spec.before.window.timeZone",
                format!(
                    "{:?} is no time zone of the IANA database: write one of its names, for instance \
                        Europe/Berlin or Etc/UTC",
                    written.time_zone
                ),
            );
        }
        let cron = read_schedule(&written.schedule).map_err(|problem| {
            wrong("spec.before.window.schedule", problem);
        });
        let (zone, cron) = (zone.ok()?, cron.ok()?);
        Some(Self { written: written.clone(), cron, zone, duration })
    }

    /// How it stands. Where windows follow one another without a gap they count as one, as far as `enough`
    /// after the moment.
    pub fn at(&self, now: Timestamp, enough: SignedDuration) -> WindowState {
        let closes = |opening: Timestamp| opening.saturating_add(self.duration).unwrap_or(Timestamp::MAX);
        let Some(mut until) = self.last_opening(now).map(closes).filter(|until| *until > now) else {
            return WindowState::Closed { until: self.next_opening(now) };
        };
        let needed = now.saturating_add(enough).unwrap_or(Timestamp::MAX);
        while until < needed {
            match self.last_opening(until).map(closes).filter(|later| *later > until) {
                Some(later) => until = later,
                None => break,
            }
        }
        WindowState::Open { until }
    }

    /// A moment in local time with its offset, for people.
    pub fn local(&self, moment: Timestamp) -> String {
        moment.display_with_offset(self.zone.to_offset(moment)).to_string()
    }

    /// The newest opening that is not after `now`.
    fn last_opening(&self, now: Timestamp) -> Option<Timestamp> {
        // A local time that is behind the present one may have been already, before the clock was set back.
        let mut local = self.after(now, self.set_back_before(now))?;
        let mut inclusive = true;
        let mut best: Option<(Timestamp, DateTime)> = None;
        while let Ok(candidate) = self.cron.find_previous_occurrence(&local, inclusive) {
            (local, inclusive) = (candidate, false);
            // A local time that does not exist moves past some that do: these are checked, too.
            if best.is_some_and(|(_, enough)| candidate < enough) {
                break;
            }
            let Some(opening) = self.moment(candidate).filter(|opening| *opening <= now) else { continue };
            let known = best.map_or(opening, |(known, _)| known.max(opening));
            let enough = match best {
                Some((_, enough)) => enough,
                None => candidate.checked_sub(self.set_forward_before(opening)).ok()?,
            };
            best = Some((known, enough));
        }
        best.map(|(opening, _)| opening)
    }

    /// The first opening after `now`.
    fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let mut local = self.after(now, -self.set_forward_before(now))?;
        let mut best: Option<(Timestamp, DateTime)> = None;
        let mut inclusive = true;
        while let Ok(candidate) = self.cron.find_next_occurrence(&local, inclusive) {
            (local, inclusive) = (candidate, false);
            if best.is_some_and(|(_, enough)| candidate > enough) {
                break;
            }
            let Some(opening) = self.moment(candidate).filter(|opening| *opening > now) else { continue };
            let known = best.map_or(opening, |(known, _)| known.min(opening));
            let enough = match best {
                Some((_, enough)) => enough,
                None => candidate.checked_add(self.gap_at(candidate)).ok()?,
            };
            best = Some((known, enough));
        }
        best.map(|(opening, _)| opening)
    }

    /// The moment of a local time.
    fn moment(&self, local: DateTime) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(local).compatible().ok()
    }

    /// The local time of a moment, in whole seconds, and so much later.
    fn after(&self, moment: Timestamp, later: SignedDuration) -> Option<DateTime> {
        let whole = Timestamp::from_second(moment.as_second()).ok()?;
        self.zone.to_datetime(whole).checked_add(later).ok()
    }

    /// By how much the clock was set back shortly before.
    fn set_back_before(&self, moment: Timestamp) -> SignedDuration {
        (-self.changed_before(moment)).max(SignedDuration::ZERO)
    }

    /// By how much the clock was set forward shortly before.
    fn set_forward_before(&self, moment: Timestamp) -> SignedDuration {
        self.changed_before(moment).max(SignedDuration::ZERO)
    }

    fn changed_before(&self, moment: Timestamp) -> SignedDuration {
        let before = moment.saturating_sub(A_CHANGE).unwrap_or(Timestamp::MIN);
        let offset = |moment| i64::from(self.zone.to_offset(moment).seconds());
        SignedDuration::from_secs(offset(moment) - offset(before))
    }

    /// How long a local time does not exist around this one; zero where it does.
    fn gap_at(&self, local: DateTime) -> SignedDuration {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Gap { before, after } => {
                SignedDuration::from_secs(i64::from(after.seconds()) - i64::from(before.seconds()))
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => SignedDuration::ZERO,
        }
    }
}

/// Five fields of cron that some day has. The error says what to write.
fn read_schedule(text: &str) -> Result<Cron, String> {
    let example = "five fields: minute, hour, day of the month, month and day of the week, for instance \
        \"0 2 * * SUN\"";
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron =
        parser.parse(text).map_err(|error| format!("{text:?} is no schedule ({error}): write {example}"))?;
    let begin = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
    let comes = cron.find_next_occurrence(&begin, true).is_ok_and(|first| first.year() < 2000 + YEARS);
    if comes { Ok(cron) } else { Err(format!("{text:?} never comes: no day is like that; write {example}")) }
}
