//! How much memory this process holds, and the system's own bound on it.

use std::io;

/// Bytes of memory that this process has made and not given back, without files that are mapped; none where the system
/// does not say (it does on Linux).
pub fn in_use() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Has the system refuse this process more than so many bytes of private memory, from now on: an allocation beyond it ends
/// the process. On systems other than Unix nothing happens.
///
/// # Errors
/// The system refuses the bound.
pub fn bound(bytes: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        let (_, hard) = rlimit::getrlimit(rlimit::Resource::DATA)?;
        rlimit::setrlimit(rlimit::Resource::DATA, bytes.min(hard), hard)?;
    }
    #[cfg(not(unix))]
    let _ = bytes;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_written_to_is_seen() {
        let before = in_use().unwrap();
        let held = vec![1u8; 64 << 20];
        assert!(in_use().unwrap() >= before + (32 << 20), "{before}, {}", held.len());
    }
}
