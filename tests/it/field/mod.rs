//! Inputs of the shapes that people who do this job meet (`tests/field`, every name and address in them invented), and what
//! is right for each.

mod forms;
mod what;
mod who;

use std::path::PathBuf;

/// Where an input lies.
#[allow(dead_code, reason = "used by the modules below as they grow")]
pub fn input(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/field").join(name)
}
