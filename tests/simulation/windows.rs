//! When a window of a story is open, counted by hand: the stories know two kinds of schedules, and zones whose offset
//! never changes.

use jiff::Timestamp;
use serde_json::Value;

const DAY: i64 = 86_400;

/// How long a window is still open at a moment, in seconds; zero or less while it is closed.
pub fn left(window: &Value, at: Timestamp) -> i64 {
    duration(window) - since_opening(window, at).0
}

/// In how many seconds it opens again.
pub fn opens_in(window: &Value, at: Timestamp) -> i64 {
    let (since, period) = since_opening(window, at);
    period - since
}

/// How long ago it opened, and how long after that it opens again.
fn since_opening(window: &Value, at: Timestamp) -> (i64, i64) {
    let (period, begins) = recurs(window["schedule"].as_str().unwrap_or_default());
    let offset = match window["timeZone"].as_str() {
        Some("Asia/Kolkata") => 5 * 3_600 + 1_800,
        _ => 0,
    };
    ((at.as_second() + offset - begins).rem_euclid(period), period)
}

fn duration(window: &Value) -> i64 {
    let written = window["duration"].as_str().unwrap_or_default();
    let number: i64 = written.trim_end_matches(char::is_alphabetic).parse().unwrap_or(0);
    if written.ends_with('h') { number * 3_600 } else { number * 60 }
}

/// `*/N * * * *` or `0 H * * *`: each so many seconds, beginning with so many.
fn recurs(schedule: &str) -> (i64, i64) {
    let mut fields = schedule.split(' ');
    match (fields.next(), fields.next()) {
        (Some(minutes), Some("*")) => {
            let every = minutes.strip_prefix("*/").and_then(|every| every.parse::<i64>().ok());
            (every.expect("a story has this schedule") * 60, 0)
        }
        (Some("0"), Some(hour)) => (DAY, hour.parse::<i64>().expect("an hour") * 3_600),
        _ => panic!("no story has the schedule {schedule:?}"),
    }
}

#[test]
fn a_window_is_open_from_its_beginning_to_its_end() {
    let window = |schedule: &str, duration: &str, zone: &str| serde_json::json!({"schedule": schedule, "duration": duration, "timeZone": zone});
    let left_at = |schedule: &str, duration: &str, zone: &str, at: &str| {
        left(&window(schedule, duration, zone), at.parse().expect("a moment"))
    };
    assert_eq!(left_at("*/5 * * * *", "2m", "Etc/UTC", "2026-05-28T20:25:00Z"), 120);
    assert_eq!(left_at("*/5 * * * *", "2m", "Etc/UTC", "2026-05-28T20:26:59Z"), 1);
    assert_eq!(left_at("*/5 * * * *", "2m", "Etc/UTC", "2026-05-28T20:27:00Z"), 0);
    assert_eq!(left_at("0 20 * * *", "3h", "Etc/UTC", "2026-05-28T22:00:00Z"), 3_600);
    assert_eq!(left_at("0 2 * * *", "1h", "Asia/Kolkata", "2026-05-28T20:30:00Z"), 3_600);
    assert!(left_at("0 2 * * *", "1h", "Etc/UTC", "2026-05-28T20:26:40Z") < 0);
    let soon = opens_in(
        &window("0 2 * * *", "1h", "Asia/Kolkata"),
        "2026-05-28T20:26:40Z".parse().expect("a moment"),
    );
    assert_eq!(soon, 200);
}
