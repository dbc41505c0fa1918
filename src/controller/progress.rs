//! Polls a Pod for the progress of its run. The one place of the controller that connects to anything but the
//! API server: to Pods that it made, without a token, at one port and one path.
//!
//! What comes back decides nothing but what a status shows. A Pod that does not answer, or answers anything
//! else, is polled less and less often, and nothing is shown.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpStream;
use tracing::debug;

use super::Context;
use crate::{
    contract::{PROGRESS_LIMIT, PROGRESS_PATH, PROGRESS_PORT, Progress},
    plan::{
        facts::{Facts, ProgressFact},
        progress::{Target, target},
    },
};

/// A Pod is polled at most so often.
const EVERY: SignedDuration = SignedDuration::from_secs(5);
/// One that did not answer again and again, at least so often.
const AT_LEAST_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// An answer may take so long, in all. The reconcile waits for it.
const WITHIN: Duration = Duration::from_millis(500);

/// Polls the Pod at an address; none where it does not answer as a stage would.
pub type Ask = Box<dyn Fn(IpAddr) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync>;

/// Which Pod was polled when, and what the answer was.
pub(super) struct Poller {
    poll: Ask,
    /// By the uid of the DatabaseMigration: each has one run at a time.
    polled: Mutex<BTreeMap<String, Polled>>,
}

#[derive(Clone)]
struct Polled {
    job: String,
    at: Timestamp,
    answer: Option<Progress>,
    /// How often in a row there was none.
    silent: u32,
}

impl Default for Poller {
    fn default() -> Self {
        Self::new(Box::new(|address| fetch(SocketAddr::new(address, PROGRESS_PORT)).boxed()))
    }
}

impl Poller {
    pub(super) fn new(poll: Ask) -> Self {
        Self { poll, polled: Mutex::default() }
    }

    fn last(&self, uid: &str) -> Option<Polled> {
        self.polled.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    fn remember(&self, uid: &str, polled: Option<Polled>) {
        let mut all = self.polled.lock().unwrap_or_else(PoisonError::into_inner);
        match polled {
            Some(polled) => drop(all.insert(uid.to_owned(), polled)),
            None => drop(all.remove(uid)),
        }
    }
}

/// How far the run is that these facts tell of, as far as its Pod says so.
pub(super) async fn read(context: &Context, facts: &Facts) -> Option<ProgressFact> {
    let poller = &context.poller;
    let found = target(facts).and_then(|target| Some((address(&target.address)?, target)));
    let Some((address, target)) = found else {
        poller.remember(&facts.uid, None);
        return None;
    };
    let now = context.now();
    let last = poller.last(&facts.uid).filter(|last| last.job == target.job);
    let polled = match last {
        Some(last) if !is_due(&last, now) => last,
        last => {
            let polled = poll(poller, address, &target, last.map_or(0, |last| last.silent), now).await;
            poller.remember(&facts.uid, Some(polled.clone()));
            polled
        }
    };
    polled.answer.map(|progress| ProgressFact { job: target.job, progress })
}

fn is_due(last: &Polled, now: Timestamp) -> bool {
    let pause = (EVERY * (1_i32 << last.silent.min(4))).min(AT_LEAST_EVERY);
    !(SignedDuration::ZERO..pause).contains(&now.duration_since(last.at))
}

async fn poll(poller: &Poller, address: IpAddr, target: &Target, silent: u32, now: Timestamp) -> Polled {
    let answer = (poller.poll)(address).await;
    let answer = answer.and_then(|answer| Progress::from_answer(&answer, &target.pending, now));
    let silent = if answer.is_some() { 0 } else { silent.saturating_add(1) };
    Polled { job: target.job.clone(), at: now, answer, silent }
}

/// The address that a status tells, if a Pod can have it. A forged status could name the controller itself, or
/// a cloud's metadata; an address of a node cannot be told from a Pod's.
fn address(told: &str) -> Option<IpAddr> {
    let address = told.parse::<IpAddr>().ok()?.to_canonical();
    let local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_no_pods = local || address.is_loopback() || address.is_unspecified() || address.is_multicast();
    (!is_no_pods).then_some(address)
}

/// What is served at an address: a body of at most [`PROGRESS_LIMIT`] bytes, with status 200, within half a
/// second. No redirect is followed, and nothing is sent but the request.
pub async fn fetch(address: SocketAddr) -> Option<Vec<u8>> {
    let fetched = tokio::time::timeout(WITHIN, get(address)).await;
    fetched
        .unwrap_or_else(|_| Err("it took too long".into()))
        .inspect_err(|error| debug!(%address, %error, "a Pod does not say how far it is"))
        .ok()
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

async fn get(address: SocketAddr) -> Result<Vec<u8>, Problem> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(PROGRESS_PATH).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()).into());
        }
        let body = Limited::new(response.into_body(), PROGRESS_LIMIT).collect().await?;
        Ok(body.to_bytes().to_vec())
    };
    // The connection is driven for as long as the answer takes, and dropped with it.
    tokio::select! {
        answer = answer => answer,
        ended = connection => {
            ended?;
            Err("it hung up".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_pod_has_are_not_asked() {
        for (address, polled) in [
            ("10.0.0.7", true),
            ("fd00::7", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("0.0.0.0", false),
            ("::1", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("example.org", false),
            ("", false),
        ] {
            assert_eq!(super::address(address).is_some(), polled, "{address}");
        }
    }

    #[test]
    fn one_that_does_not_answer_is_asked_less_and_less_often() {
        let moment = |second: i64| Timestamp::from_second(1_000 + second).expect("a moment");
        let polled = |silent| Polled { job: String::new(), at: moment(0), answer: None, silent };
        for (silent, pause) in [(0, 5), (1, 10), (2, 20), (3, 40), (4, 60), (900, 60)] {
            assert!(!is_due(&polled(silent), moment(pause - 1)), "{silent}");
            assert!(is_due(&polled(silent), moment(pause)), "{silent}");
        }
        assert!(is_due(&polled(0), moment(-1)), "a clock that was set back");
    }
}
