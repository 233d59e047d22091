//! `kvaudit worker`: people's own detections, asked in a process apart. Not for people: `detect` and `run` start it, hand it
//! a [`Job`] on standard input and read its lines.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::limits::{OWN_MEMORY, watch};
use super::{Outcome, WrongUse};
use crate::detection::job::{Line, Sheet, lines};
use crate::detection::{self, Period, RuleTime};
use crate::limit::{Bounds, Breach, OUT_OF_MEMORY};
use crate::store::{Access, SessionUse, Spill};

/// The longest job that is read: two thousand files of a mebibyte, and what JSON makes of them.
const LONGEST_JOB: u64 = 4 << 30;

/// What a worker is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The detections, asked one after the other.
    pub rules: Vec<Sheet>,
    /// Start and end of the period, microseconds.
    pub period: (i64, i64),
    /// The longest time of each.
    pub time: Duration,
    /// Bytes that the process may hold.
    pub memory: u64,
    /// Where it spills, and how many bytes.
    pub spill: (PathBuf, u64),
}

pub async fn worker(context: &Context) -> anyhow::Result<Outcome> {
    let mut text = String::new();
    std::io::stdin().take(LONGEST_JOB).read_to_string(&mut text)?;
    let job: Job = serde_json::from_str(&text)
        .map_err(|_| WrongUse("this command is not for people: kvaudit detect starts it".to_owned()))?;
    drop(text);
    let bounds = Bounds { memory: Some(job.memory + OWN_MEMORY), with_parent: true, time: None };
    let _watch = watch(bounds, OUT_OF_MEMORY, job.spill.0.clone(), |breach| match breach {
        Breach::Memory(_) => "a detection needs too much memory".to_owned(),
        _ => "nobody waits for this process any more".to_owned(),
    });
    let spill = Spill { dir: Some(job.spill.0), bytes: job.spill.1 };
    let store = context.store(Access::Existing).await?.with_spill(spill);
    let store = store.with_world(&context.world(&store).0);
    let memory = usize::try_from(job.memory / 2).unwrap_or(usize::MAX);
    let session = RuleTime(job.time).session(&store.session(SessionUse::Rules { memory }).await?);
    detection::functions::register(&session);
    let period = Period { from: job.period.0, to: job.period.1 };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for sheet in job.rules {
        say(&mut out, &Line::Begun)?;
        out.flush()?;
        let rule = sheet.rule()?;
        for evaluation in detection::evaluate_all(&session, [&rule], period, |_| {}).await? {
            lines(evaluation).try_for_each(|line| say(&mut out, &line))?;
        }
        out.flush()?;
    }
    Ok(Outcome::Done)
}

fn say(out: &mut impl Write, line: &Line) -> anyhow::Result<()> {
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    Ok(())
}
