//! Threads of their own for heavy work, so that those who wait for it keep their clock.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// A runtime apart. Dropping it stops its work where that next yields, and never waits.
#[derive(Debug)]
pub struct Engine {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

/// Why work on an [`Engine`] has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// It passed its time.
    #[error("it took longer than {}", humantime::format_duration(*.0))]
    Time(Duration),
    /// It panicked.
    #[error("it failed within")]
    Panic,
}

impl Engine {
    /// An engine of so many threads.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(threads: usize) -> io::Result<Engine> {
        let runtime =
            Builder::new_multi_thread().worker_threads(threads.max(1)).thread_name("engine").enable_all().build()?;
        Ok(Engine { runtime: Some(runtime) })
    }

    /// Starts work on the engine's threads.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.as_ref().expect("an engine has its runtime until it is dropped").spawn(work)
    }

    /// Work on the engine's threads, within a time from now. The caller's own clock decides, so its threads must not
    /// compute.
    ///
    /// # Errors
    /// [`Stopped`]. What passed its time is told to stop and not waited for.
    pub async fn within<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stopped> {
        let mut task = self.spawn(work);
        match timeout_at(deadline(time), &mut task).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Stopped::Panic),
            Err(_) => {
                task.abort();
                Err(Stopped::Time(time))
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A time from now; ages for what a clock cannot hold.
pub(super) fn deadline(time: Duration) -> Instant {
    const AGES: Duration = Duration::from_secs(30 * 365 * 86_400);
    Instant::now() + time.min(AGES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn work_that_never_yields_holds_up_nobody() {
        let engine = Engine::start(1).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let stop = ended.clone();
        let begun = Instant::now();
        let stuck = engine.within(Duration::from_millis(50), async move {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        assert_eq!(stuck.await, Err(Stopped::Time(Duration::from_millis(50))));
        drop(engine);
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for it");
        ended.store(true, Ordering::Relaxed);
    }

    #[tokio::test]
    async fn answers_and_panics_come_through() {
        let engine = Engine::start(2).unwrap();
        assert_eq!(engine.within(Duration::MAX, async { 7 }).await, Ok(7));
        let panic = engine.within(Duration::MAX, async { panic!("a panic on purpose") });
        assert_eq!(panic.await, Err::<(), _>(Stopped::Panic));
    }
}
