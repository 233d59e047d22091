//! Progress on standard error: a bar in a terminal, nothing in a pipe.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes that are read, with rate and time left. Standard input has no length.
pub fn bytes(show: bool, total: Option<u64>) -> ProgressBar {
    let bar = hidden_unless(show, total);
    let template = if total.is_some() {
        "{msg:12} {wide_bar:.cyan/dim} {bytes:>10}/{total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4} left"
    } else {
        "{msg:12} {spinner} {bytes:>10} {binary_bytes_per_sec:>12}"
    };
    style(bar, template)
}

/// A bar over steps, for instance detections.
pub fn steps(show: bool, total: u64) -> ProgressBar {
    style(hidden_unless(show, Some(total)), "{msg:32!} {wide_bar:.cyan/dim} {pos}/{len}")
}

fn hidden_unless(show: bool, total: Option<u64>) -> ProgressBar {
    if !show || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    total.map_or_else(ProgressBar::new_spinner, ProgressBar::new)
}

fn style(bar: ProgressBar, template: &str) -> ProgressBar {
    bar.set_style(ProgressStyle::with_template(template).expect("the template is a literal").progress_chars("━╸─"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
