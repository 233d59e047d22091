//! A process of this program apart: it is given one text, answers in lines, and may be ended or die at any moment.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::OUT_OF_MEMORY;
use super::engine::deadline;

/// The longest line of an answer, in bytes.
const LONGEST_LINE: u64 = 64 << 20;

/// Lines that wait for the reader.
const WAITING: usize = 1024;

/// A running process. Dropping it ends it.
#[derive(Debug)]
pub struct Apart {
    child: Child,
    lines: mpsc::Receiver<String>,
}

/// Why there is no further line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It ended as it should.
    Done,
    /// It passed the time for a line, and was ended.
    Time,
    /// It passed its memory or its stack.
    Memory,
    /// It died otherwise; the system's word for it.
    Died(String),
}

impl Apart {
    /// Starts this program with other arguments and gives it a text on its standard input. What it writes on standard
    /// error is lost unless `loud`.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, input: String, loud: bool) -> io::Result<Apart> {
        let mut child = Command::new(program()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if loud { Stdio::inherit() } else { Stdio::null() })
            .spawn()?;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, lines) = mpsc::channel(WAITING);
        std::thread::Builder::new().name("apart-in".to_owned()).spawn(move || {
            // A process that reads none of it has died, and its end says why.
            let _ = stdin.as_mut().map(|stdin| stdin.write_all(input.as_bytes()));
        })?;
        std::thread::Builder::new().name("apart-out".to_owned()).spawn(move || {
            if let Some(stdout) = stdout {
                read_lines(stdout, &sender);
            }
        })?;
        Ok(Apart { child, lines })
    }

    /// The next line, within a time from now.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn line(&mut self, time: Duration) -> Result<String, Ended> {
        match timeout_at(deadline(time), self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self.end().await),
            Err(_) => {
                // It may have ended by itself since; then there is nothing to end.
                let _ = self.child.kill();
                let _ = self.child.wait();
                Err(Ended::Time)
            }
        }
    }

    /// How it ended: its output is closed, so that it has ended or is about to. One that does not is ended.
    async fn end(&mut self) -> Ended {
        const ATTEMPTS: u32 = 200;
        for _ in 0..ATTEMPTS {
            match self.child.try_wait() {
                Ok(Some(status)) => return ending(status),
                Ok(None) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => return Ended::Died(error.to_string()),
            }
        }
        let _ = self.child.kill();
        Ended::Died("it closed its output and went on".to_owned())
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program's file: on Linux the one that runs, even if another has taken its place since.
fn program() -> io::Result<std::path::PathBuf> {
    let running = std::path::PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() { Ok(running) } else { std::env::current_exe() }
}

fn read_lines(stdout: impl Read, sender: &mpsc::Sender<String>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut line = String::new();
        let read = stdout.by_ref().take(LONGEST_LINE).read_line(&mut line);
        let whole = read.is_ok() && line.ends_with('\n');
        if !whole || sender.blocking_send(line).is_err() {
            return;
        }
    }
}

fn ending(status: ExitStatus) -> Ended {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        /// What an allocator does that gets no more memory, and a thread whose stack is full.
        const ABORT: i32 = 6;
        if status.signal() == Some(ABORT) {
            return Ended::Memory;
        }
    }
    match status.code() {
        Some(0) => Ended::Done,
        Some(code) if code == i32::from(OUT_OF_MEMORY) => Ended::Memory,
        _ => Ended::Died(status.to_string()),
    }
}
