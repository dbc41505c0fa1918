//! What becomes of requests: those that get lost, those that come late, and what is written under way.

use hyper::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::{
        coverage::Coverage,
        network::{Arrival, Watch, cut, refused, whole},
        people,
        story::{Death, Trouble, Write},
        windows,
    },
    Failure, Flight, Landing, World,
};

/// How much later than the deadline Kubernetes ends a Job whose stages did not end by themselves, in seconds.
const GRACE: i64 = 60;
/// So long is a write on its way whose instance is dead, at most, in milliseconds: no other starts sooner.
const ON_ITS_WAY: u64 = 900;

impl World {
    /// Sends what has arrived on its way.
    pub(super) fn depart(&mut self) -> Result<(), Failure> {
        for arrival in self.network.take() {
            let Some(nth) = self.instance_of(arrival.process) else { continue };
            self.says(|| format!("asks {}", arrival.words()));
            self.begins(nth, &arrival)?;
            let trouble = self.trouble(&arrival);
            let at = self.now().max(self.instances[nth].paused) + self.rng.u64(1..20);
            self.flights.push(Flight { at, arrival, trouble });
        }
        Ok(())
    }

    /// A run that may change something is begun only while the window is open that this process read last, by its own
    /// clock, and is to end before the window does.
    fn begins(&mut self, nth: usize, arrival: &Arrival) -> Result<(), Failure> {
        if arrival.parts.method != Method::POST || !arrival.parts.uri.path().ends_with("/jobs") {
            return Ok(());
        }
        let job: Value = serde_json::from_slice(&arrival.body).unwrap_or_default();
        let owner = job["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default().to_owned();
        let now = self.clocks.shown(&self.clocks.instances[nth]);
        match self.windows.get(&(arrival.process, owner)).filter(|window| window.is_object()) {
            Some(window) => window_is_kept(window, &job, now, &mut self.coverage),
            None => Ok(()),
        }
    }

    fn trouble(&mut self, arrival: &Arrival) -> Option<Trouble> {
        let now = self.now();
        self.troubles.retain(|(until, _, _)| now < *until);
        let rng = &mut self.rng;
        let found = self.troubles.iter().find(|(_, per_mille, _)| rng.u32(0..1_000) < *per_mille)?.2;
        let changes = matches!(arrival.parts.method.as_str(), "PUT" | "PATCH");
        Some(if found == Trouble::Refused(409) && !changes { Trouble::Refused(500) } else { found })
    }

    /// A request arrives at the API server.
    pub(super) async fn arrives(&mut self, nth: usize) -> bool {
        let Flight { arrival, trouble, .. } = self.flights.remove(nth);
        let words = arrival.words();
        let Some(instance) = self.instance_of(arrival.process) else {
            self.coverage.saw("what a dead instance had sent arrives");
            self.says(|| format!("arrives all the same {words}"));
            let _ = self.cluster.serve(&arrival.parts, &arrival.body);
            return false;
        };
        let death = self.death(&arrival);
        if matches!(death, Some(Death::Before | Death::OnItsWay)) {
            self.says(|| format!("dies before {words}"));
            self.kill(instance);
            if death == Some(Death::Before) {
                self.coverage.saw(dies_at(written(&arrival), false));
            } else {
                let at = self.now() + self.rng.u64(1..ON_ITS_WAY);
                self.flights.push(Flight { at, arrival, trouble: None });
            }
            return true;
        }
        self.counts(instance, &arrival, trouble);
        let window = self.window_in(&arrival);
        let stale = matches!(trouble, Some(Trouble::Stale(_))).then(|| self.cluster.revision());
        let answer = match trouble {
            Some(Trouble::Lost) => Err(cut()),
            Some(Trouble::Refused(code)) => Ok(refused(code)),
            _ if arrival.is_watch() => {
                let ends = self.now() + 290_000;
                let (watch, answer) = Watch::open(&arrival, &self.changes, ends);
                self.watches.push(watch);
                Ok(answer)
            }
            _ => Ok(whole(self.cluster.serve(&arrival.parts, &arrival.body)).await),
        };
        if death == Some(Death::After) {
            self.coverage.saw(dies_at(written(&arrival), true));
            self.says(|| format!("dies after {words}"));
            self.kill(instance);
            return true;
        }
        let (late, answer) = match trouble {
            Some(Trouble::AnswerLost) => (0, Err(cut())),
            Some(Trouble::Stale(late)) => (self.rng.u64(0..=late), answer),
            _ => (0, answer),
        };
        let code =
            answer.as_ref().map_or("nothing".to_owned(), |answer| answer.status().as_u16().to_string());
        let fate = trouble.map(|trouble| format!(" ({trouble:?})")).unwrap_or_default();
        self.says(|| format!("serves {words}: {code}{fate}"));
        let (at, process) = (self.now() + late + self.rng.u64(1..20), arrival.process);
        let window = window.filter(|_| answer.is_ok());
        self.landings.push(Landing { at, process, words, stale, window, reply: arrival.reply, answer });
        false
    }

    /// When the instance dies that makes this request.
    fn death(&mut self, arrival: &Arrival) -> Option<Death> {
        let write = arrival.is_write().then(|| written(arrival))?;
        let strikes = |(of, _): &(Option<Write>, Death)| of.is_none_or(|of| of == write);
        let at = self.doom.iter().position(strikes)?;
        Some(self.doom.remove(at).1)
    }

    /// An answer reaches the controller; true when it does.
    pub(super) fn lands(&mut self, nth: usize) -> bool {
        let mut landing = self.landings.remove(nth);
        if let Some(until) = self.pause_of(landing.process) {
            self.landings.push(Landing { at: until, ..landing });
            return false;
        }
        if let Some((name, window)) = landing.window.take() {
            self.windows.insert((landing.process, name), window);
        }
        if landing.words.contains(" GET ") && landing.stale.is_some_and(|from| from < self.cluster.revision())
        {
            let list =
                !landing.words.contains("/databasemigrations/") && !landing.words.contains("/configmaps/");
            self.coverage.saw(if list { "a LIST is stale" } else { "an object is read stale" });
        }
        self.says(|| format!("hears {}", landing.words));
        let _ = landing.reply.send(landing.answer);
        true
    }

    /// The window of the DatabaseMigration that a request reads.
    fn window_in(&self, arrival: &Arrival) -> Option<(String, Value)> {
        let (_, name) = arrival.parts.uri.path().split_once("/databasemigrations/")?;
        if arrival.parts.method != Method::GET {
            return None;
        }
        let object = self.cluster.objects.get(&people::key("databasemigrations", name))?;
        Some((name.to_owned(), object["spec"]["before"]["window"].clone()))
    }

    /// What a request and its trouble cover.
    fn counts(&mut self, instance: usize, arrival: &Arrival, trouble: Option<Trouble>) {
        let about = |kind: &str| arrival.parts.uri.path().contains(kind);
        let leaders = ["databasemigrations", "jobs", "migrationgates"].into_iter().any(about);
        if arrival.is_write() && leaders && self.lease.holder != Some(instance) {
            self.coverage.saw("an instance writes that no longer leads");
        }
        self.coverage.saw(match trouble {
            Some(Trouble::Lost) => "a request is lost",
            Some(Trouble::AnswerLost) if arrival.is_write() => "the reply to a write is lost",
            Some(Trouble::AnswerLost) => "the reply to a read is lost",
            Some(Trouble::Refused(_)) => "a request is refused",
            Some(Trouble::Stale(_)) | None => return,
        });
    }
}

/// What a request writes.
fn written(arrival: &Arrival) -> Write {
    let about = |kind: &str| arrival.parts.uri.path().contains(kind);
    if about("/jobs") {
        return if arrival.parts.method == Method::DELETE { Write::JobGoes } else { Write::NewJob };
    }
    let kinds =
        [("/migrationgates", Write::Gate), ("/databasemigrations", Write::Status), ("/events", Write::Event)];
    kinds.into_iter().find(|(kind, _)| about(kind)).map_or(Write::Workload, |(_, write)| write)
}

/// An instance dies at a write.
const fn dies_at(write: Write, after: bool) -> &'static str {
    match (write, after) {
        (Write::Status, false) => "an instance dies before it writes a status",
        (Write::Status, true) => "an instance dies after it wrote a status",
        (Write::Event, false) => "an instance dies before it creates an Event",
        (Write::Event, true) => "an instance dies after it created an Event",
        (Write::NewJob, false) => "an instance dies before it creates a Job",
        (Write::NewJob, true) => "an instance dies after it created a Job",
        (Write::JobGoes, false) => "an instance dies before it deletes a Job",
        (Write::JobGoes, true) => "an instance dies after it deleted a Job",
        (Write::Gate, false) => "an instance dies before it writes the gate",
        (Write::Gate, true) => "an instance dies after it wrote the gate",
        (Write::Workload, false) => "an instance dies before it lets a workload go",
        (Write::Workload, true) => "an instance dies after it let a workload go",
    }
}

fn window_is_kept(
    window: &Value,
    job: &Value,
    now: Timestamp,
    coverage: &mut Coverage,
) -> Result<(), Failure> {
    let broken = |words: String| Err(Failure::new("window", words));
    let name = &job["metadata"]["name"];
    let left = windows::left(window, now);
    let variables = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    let variable = |name: &str| {
        variables.into_iter().flatten().find(|variable| variable["name"] == name).map(|found| &found["value"])
    };
    if variable("SLUICE_PURPOSE").is_some_and(|purpose| purpose == "Verify") {
        if left <= 0 {
            coverage.saw("a run that only verifies begins while a window is closed");
        }
        return Ok(());
    }
    if left <= 0 {
        return broken(format!("{name} is created at {now}, and {window} is closed"));
    }
    let most = job["spec"]["activeDeadlineSeconds"].as_i64().unwrap_or(i64::MAX);
    let ends_by = variable("SLUICE_ENDS_BY").and_then(|value| value.as_str()?.parse::<Timestamp>().ok());
    let in_time = match ends_by {
        Some(ends_by) => most <= left + GRACE && ends_by.duration_since(now).as_secs() <= left,
        None => most <= left,
    };
    if !in_time {
        return broken(format!(
            "{name} may take {most} s, until {ends_by:?}, and {left} s are left of {window}"
        ));
    }
    coverage.saw("a run begins in a window");
    if variable("SLUICE_DEADLINE").is_some() {
        coverage.saw("a run is cut to what is left of a window");
    }
    Ok(())
}
