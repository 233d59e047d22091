//! What a command does when it passes its bounds: it says so once and ends, since no part of it can be relied on any more.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::text;
use crate::limit::{self, Bounds, Breach, Watch};

/// Memory of the program itself, beside what its queries may take.
pub const OWN_MEMORY: u64 = 256 << 20;

/// How far the system's own bound lies above the watch's: it also counts what is reserved.
const SLACK: u64 = 2 << 30;

/// The watch comes so long behind a query's own deadline, which is the better one where it works.
pub const GRACE: Duration = Duration::from_millis(600);

/// Ends this process when it passes its bounds, with a sentence on standard error and this exit code. `leftovers` is
/// removed, which nobody else would.
pub fn watch(bounds: Bounds, code: u8, leftovers: PathBuf, told: impl Fn(Breach) -> String + Send + 'static) -> Watch {
    if let Some(memory) = bounds.memory {
        // Where the system refuses, the watch stands alone.
        let _ = limit::bound(memory.saturating_add(SLACK));
    }
    Watch::start(bounds, move |breach| {
        remove(&leftovers);
        let _ = writeln!(std::io::stderr(), "kvaudit: {}", text::safe(&told(breach)));
        end_now(code);
    })
}

/// Removes a directory in which an abandoned query may still write.
pub fn remove(dir: &Path) {
    const ATTEMPTS: u32 = 5;
    let _ = (0..ATTEMPTS).any(|_| std::fs::remove_dir_all(dir).is_ok() || !dir.exists());
}

/// Ends the process although threads are at work.
#[allow(clippy::disallowed_methods)] // They are stuck or hold all memory: there is no other end.
fn end_now(code: u8) -> ! {
    std::process::exit(i32::from(code))
}
