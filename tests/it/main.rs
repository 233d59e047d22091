//! The integration tests: one binary, since each test binary with DataFusion is large.
//! They run the built program as its users do: make a directory, run, compare.

mod api;
mod architecture;
mod bad_input;
mod builds;
mod catalogue;
mod context;
mod contracts;
mod damage;
mod detect;
mod field;
mod hostile;
mod idempotence;
mod incidents;
mod ingest;
mod interchange;
mod kill;
mod late;
mod limits;
mod memory;
mod query;
mod readme;
mod small_print;
mod support;
