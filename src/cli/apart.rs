//! Detections that people wrote are asked in a process apart, which may pass its time or its memory and die alone; the
//! built-in ones are asked here.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use datafusion::prelude::SessionContext;

use super::context::Context;
use super::limits::{GRACE, remove};
use super::worker::Job;
use crate::alert::Finding;
use crate::detection::job::{self, Line, Sheet};
use crate::detection::{self, DetectionError, Evaluation, Origin, Period, Place, Progress, Rule, limits};
use crate::limit::{Apart, Ended};
use crate::store::Store;

/// How long a worker may take until it asks its first detection: it opens the store.
const START: Duration = Duration::from_secs(300);

/// The answers of detections over a period, in their order. One that fails does not stop the others.
///
/// # Errors
/// The span of the data cannot be read, or no process can be started.
pub async fn evaluate_all(
    context: &Context,
    store: &Store,
    session: &SessionContext,
    rules: &[&Rule],
    period: Period,
    mut progress: impl FnMut(Progress<'_>),
) -> anyhow::Result<Vec<Evaluation>> {
    let (theirs, ours): (Vec<&Rule>, Vec<&Rule>) = rules.iter().copied().partition(|rule| rule.origin == Origin::User);
    let total = rules.len();
    let asked = detection::evaluate_all(session, ours.iter().copied(), period, |p| progress(Progress { total, ..p }));
    let mut ours = asked.await?.into_iter();
    let mut apart = Vec::with_capacity(theirs.len());
    let mut workers = Workers { context, store, period, running: None };
    for (at, rule) in theirs.iter().enumerate() {
        progress(Progress { done: total - theirs.len() + at, total, next: Some(&rule.id) });
        apart.push(workers.ask(&theirs[at..]).await?);
    }
    progress(Progress { done: total, total, next: None });
    let mut apart = apart.into_iter();
    let in_order = rules.iter().map(|rule| if rule.origin == Origin::User { apart.next() } else { ours.next() });
    Ok(in_order.flatten().collect())
}

/// The process that asks, and what it takes to start another.
struct Workers<'a> {
    context: &'a Context,
    store: &'a Store,
    period: Period,
    /// None at first, and where the last one died.
    running: Option<Apart>,
}

impl Workers<'_> {
    /// The answer of the first of these detections; a worker that has to be started is given all of them.
    async fn ask(&mut self, rules: &[&Rule]) -> anyhow::Result<Evaluation> {
        if let Some(worker) = self.running.take() {
            match self.answer(worker, rules[0]).await {
                Ok(evaluation) => return Ok(evaluation),
                Err(Ended::Time) => return Ok(self.failed(rules[0], &Ended::Time)),
                // What it died of may be what its earlier detections left behind: a fresh one tells.
                Err(_) => {}
            }
        }
        let worker = self.start(rules)?;
        let answer = self.answer(worker, rules[0]).await;
        Ok(answer.unwrap_or_else(|ended| self.failed(rules[0], &ended)))
    }

    fn start(&self, rules: &[&Rule]) -> anyhow::Result<Apart> {
        let limits = self.context.config.limits;
        let job = Job {
            rules: rules.iter().map(|rule| Sheet::from(*rule)).collect(),
            period: (self.period.from, self.period.to),
            time: limits.rule_time,
            memory: limits.rule_memory,
            spill: (self.context.spill_apart(), limits.spill),
        };
        let mut args = vec!["worker".into(), "--store".into(), self.store.dir().as_os_str().to_owned()];
        if let Some(config) = &self.context.config_file {
            args.extend(["--config".into(), config.into()]);
        }
        let loud = self.context.verbose > 0;
        args.extend(loud.then(|| "-v".into()));
        Apart::start(args, serde_json::to_string(&job)?, loud)
            .context("no process could be started for your detections")
    }

    /// Reads one detection's lines; the worker then runs on with the next.
    async fn answer(&mut self, mut worker: Apart, rule: &Rule) -> Result<Evaluation, Ended> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut deadline = Instant::now() + START;
        loop {
            let line = worker.line(deadline.saturating_duration_since(Instant::now())).await?;
            let line = serde_json::from_str(&line).map_err(|e| Ended::Died(format!("its answer is cut off: {e}")))?;
            match line {
                // The worker keeps its time itself, where it can.
                Line::Begun => deadline = Instant::now() + self.context.config.limits.rule_time + GRACE,
                Line::Finding(finding) => findings.push(*finding),
                Line::Done { period, failed } => {
                    self.running = Some(worker);
                    return Ok(job::evaluation(rule, period, findings, failed));
                }
            }
        }
    }

    fn failed(&self, rule: &Rule, ended: &Ended) -> Evaluation {
        let limits = self.context.config.limits;
        let message = match ended {
            Ended::Time => limits::late(limits.rule_time),
            Ended::Memory => format!(
                "it needed more than {} MiB of memory, or nested too deep, and was stopped: make its values and steps \
                 smaller, or allow it more with rule_memory under [limits] in the configuration",
                limits.rule_memory >> 20
            ),
            Ended::Done => "its process ended without an answer: this is a defect, please report it".to_owned(),
            Ended::Died(how) => format!("its process ended without an answer ({how}): -v shows what it said"),
        };
        let error = DetectionError::Run { place: Place::file(&rule.path), message };
        Evaluation { rule_id: rule.id.clone(), period: Some(self.period), findings: Err(error) }
    }
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        // The process first, then what it may still write.
        self.running = None;
        remove(&self.context.spill_apart());
    }
}
