//! Answers under way. A client that asks for much and reads slowly would have us hold its answer for as long as it likes, and
//! three hundred of them all memory: so the bytes of all answers together have a bound, and each has a time to be read in.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{self, HeaderValue};
use axum::http::{StatusCode, response};
use axum::response::Response;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::problem::Problem;

/// Up to this size an answer is an ordinary one: ordinary answers have room of their own, which large ones cannot take.
const ORDINARY: usize = 512 << 10;
/// Bytes of ordinary answers in memory at once.
const ORDINARY_ROOM: usize = 32 << 20;
/// Bytes of larger answers in memory at once.
const LARGE_ROOM: usize = 64 << 20;
/// Requests that are worked on at once: each reads and writes out what it answers.
const AT_WORK: usize = 4;
/// How long an answer may take to be read, whatever its size.
const READ_TIME: Duration = Duration::from_secs(10);
/// Bytes a second at which it is to be read beyond that.
const SLOWEST: usize = 128 << 10;
/// When a client that was refused may ask again, in seconds.
const RETRY_AFTER: &str = "5";

/// The bounds that all connections share.
#[derive(Debug, Clone)]
pub(super) struct Flights {
    ordinary: Arc<Semaphore>,
    large: Arc<Semaphore>,
    work: Arc<Semaphore>,
    /// Time to read an answer, and the bytes for which there is a second more.
    pace: (Duration, usize),
}

impl Default for Flights {
    fn default() -> Self {
        let room = |size| Arc::new(Semaphore::new(size));
        Self { ordinary: room(ORDINARY_ROOM), large: room(LARGE_ROOM), work: room(AT_WORK), pace: (READ_TIME, SLOWEST) }
    }
}

/// What closes one connection; a request carries it as an extension.
#[derive(Debug, Clone, Default)]
pub(super) struct Cut(Arc<Notify>);

impl Cut {
    /// Waits until the connection is to be closed.
    pub(super) async fn asked(&self) {
        self.0.notified().await;
    }
}

/// The bytes of an answer, with what ends when the last of them has been written.
struct Flight {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
    _landed: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Flight {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Flights {
    /// The usual bounds at another pace.
    #[cfg(test)]
    pub(super) fn at(pace: (Duration, usize)) -> Self {
        Self { pace, ..Self::default() }
    }

    /// A turn to work on a request; held until its answer is there.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        self.work.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// The answer as it goes out, or that there is no room for it.
    pub(super) async fn launch(&self, path: &str, answer: Response, cut: Option<Cut>) -> Response {
        let (parts, body) = answer.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) if bytes.is_empty() => Response::from_parts(parts, Body::empty()),
            Ok(bytes) => self.held(parts, bytes, cut).unwrap_or_else(|| busy(path)),
            Err(_) => Response::from_parts(parts, Body::empty()),
        }
    }

    fn held(&self, parts: response::Parts, bytes: Bytes, cut: Option<Cut>) -> Option<Response> {
        let (room, size) =
            if bytes.len() <= ORDINARY { (&self.ordinary, ORDINARY_ROOM) } else { (&self.large, LARGE_ROOM) };
        // One that is larger than the room has it alone.
        let needed = u32::try_from(bytes.len().min(size)).ok()?;
        let room = room.clone().try_acquire_many_owned(needed).ok()?;
        let (landed, landing) = oneshot::channel();
        let (time, slowest) = self.pace;
        let time = time + Duration::from_secs((bytes.len() / slowest) as u64);
        if let Some(cut) = cut {
            tokio::spawn(async move {
                if timeout(time, landing).await.is_err() {
                    tracing::debug!("a client read its answer too slowly and was cut off");
                    cut.0.notify_one();
                }
            });
        }
        let bytes = Bytes::from_owner(Flight { bytes, _room: room, _landed: landed });
        Some(Response::from_parts(parts, Body::from(bytes)))
    }
}

/// What a client reads that finds no room.
pub(super) fn busy(path: &str) -> Response {
    let message = "too many answers are being read at this moment: try again in some seconds, or ask for fewer alerts";
    let mut answer = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).answer(path);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(size: usize) -> Response {
        Response::new(Body::from(vec![b'x'; size]))
    }

    #[tokio::test]
    async fn large_answers_share_a_room_and_ordinary_ones_have_their_own() {
        let flights = Flights::default();
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(flights.launch("/api/v1/alerts", answer(8 << 20), None).await);
        }
        assert!(held.iter().all(|a| a.status() == StatusCode::OK));
        let refused = flights.launch("/api/v1/alerts", answer(8 << 20), None).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], RETRY_AFTER);
        assert_eq!(flights.launch("/", answer(100 << 10), None).await.status(), StatusCode::OK);
        held.pop();
        assert_eq!(flights.launch("/", answer(8 << 20), None).await.status(), StatusCode::OK, "room is given back");
        held.clear();
        let whole = flights.launch("/", answer(LARGE_ROOM + 1), None).await;
        assert_eq!(whole.status(), StatusCode::OK, "one that is larger than the room has it alone");
        assert_eq!(flights.launch("/", answer(1 << 20), None).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(to_bytes(whole.into_body(), usize::MAX).await.unwrap().len(), LARGE_ROOM + 1);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_in_time_closes_its_connection() {
        let flights = Flights::at((Duration::from_millis(30), SLOWEST));
        let (slow, quick) = (Cut::default(), Cut::default());
        let held = flights.launch("/", answer(1000), Some(slow.clone())).await;
        drop(flights.launch("/", answer(1000), Some(quick.clone())).await);
        timeout(Duration::from_secs(20), slow.asked()).await.unwrap();
        assert!(
            timeout(Duration::from_millis(50), quick.asked()).await.is_err(),
            "what was read in time is left alone"
        );
        drop(held);
    }
}
