//! kvaudit: detections, alerts and answers from Azure Key Vault's audit logs.
//!
//! The modules stand in the order of the data. Each knows those above it and none below it;
//! ARCHITECTURE.md says who may import whom, and a test holds that against the code.

/// Work kept within time and memory: threads apart, a watch over the process, a process apart. Knows no SQL.
pub mod limit;

/// Bytes and where they came from: files, folders, globs, standard input; decompression. Knows no JSON.
pub mod source;

/// One event: every shape that Key Vault's records come in, to Arrow batches of one schema.
pub mod record;

/// Types only: findings, alerts, severities, and the identities of each.
pub mod alert;

/// What the logs do not tell: callers, vaults, addresses and bait, out of the user's files, as tables.
pub mod world;

/// Delta tables: idempotent appends, roll-ups, and the only maker of a SQL session.
pub mod store;

/// SQLite beside the store: findings, alerts, what people did to them, the trail.
pub mod state;

/// Detections as files: header, parameters, statistics functions, evaluation over periods, cases.
pub mod detection;

/// Raw TOML to checked configuration.
pub mod config;

/// The loop that joins source, record and store: counts, rejects, progress.
pub mod ingest;

/// The HTTP API and the page, on loopback.
pub mod serve;

/// Labelled synthetic logs: a small company's life, and attacks on request. Stands apart from the data's way.
pub mod simulate;

/// Alerts held against the labels of simulated logs: recall, false alerts, time to alert.
pub mod score;

/// The commands: the only place that reads arguments and prints.
pub mod cli;
