//! A thread that looks at the whole process and does nothing else, so that no work can keep it from looking.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::memory;

/// How often the process is looked at: what fills memory at ten gigabytes a second gets a hundred megabytes too far.
const LOOK: Duration = Duration::from_millis(10);

/// What a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Longest time from the start of the watch.
    pub time: Option<Duration>,
    /// Most bytes of memory, as [`memory::in_use`] counts them.
    pub memory: Option<u64>,
    /// Whether it ends with the process that started it.
    pub with_parent: bool,
}

/// What went over its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// It ran for so long.
    Time(Duration),
    /// It holds more than so many bytes.
    Memory(u64),
    /// Who started it is gone.
    Orphan,
}

/// A watch that lasts until it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Dropping it ends the thread.
    _stop: Sender<()>,
}

impl Watch {
    /// Watches from now on. `breached` is called at most once, on the watch's thread; it must end the process, since what
    /// went over may hold any lock.
    pub fn start(bounds: Bounds, breached: impl FnOnce(Breach) + Send + 'static) -> Watch {
        let (stop, stopped) = channel();
        let parent = parent();
        let begun = Instant::now();
        let watch = move || {
            if let Some(breach) = first(bounds, begun, parent, &stopped) {
                breached(breach);
            }
        };
        // Without a thread there is no watch; the bounds that others hold still stand.
        let _ = std::thread::Builder::new().name("watch".to_owned()).spawn(watch);
        Watch { _stop: stop }
    }
}

/// Waits for the first breach; none if the watch ends before.
fn first(bounds: Bounds, begun: Instant, parent: Option<u32>, stopped: &Receiver<()>) -> Option<Breach> {
    loop {
        match stopped.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return None,
        }
        if let Some(time) = bounds.time.filter(|time| begun.elapsed() > *time) {
            return Some(Breach::Time(time));
        }
        if let Some(most) = bounds.memory.filter(|most| memory::in_use().is_some_and(|held| held > *most)) {
            return Some(Breach::Memory(most));
        }
        if bounds.with_parent && self::parent() != parent {
            return Some(Breach::Orphan);
        }
    }
}

/// The process that started this one.
fn parent() -> Option<u32> {
    #[cfg(unix)]
    return Some(std::os::unix::process::parent_id());
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_is_seen_once_and_none_after_the_watch_ended() {
        let cases = [
            (Bounds { time: Some(Duration::from_millis(20)), ..Bounds::default() }, true),
            (Bounds { memory: Some(1), ..Bounds::default() }, cfg!(target_os = "linux")),
            (Bounds { time: Some(Duration::from_secs(3600)), memory: Some(u64::MAX), with_parent: true }, false),
        ];
        for (bounds, expected) in cases {
            let (tell, told) = channel();
            let watch = Watch::start(bounds, move |breach| tell.send(breach).unwrap());
            let seen = told.recv_timeout(if expected { Duration::from_secs(20) } else { Duration::from_millis(80) });
            assert_eq!(seen.is_ok(), expected, "{bounds:?}");
            drop(watch);
            assert!(told.recv_timeout(Duration::from_secs(20)).is_err(), "the thread ended");
        }
    }
}
