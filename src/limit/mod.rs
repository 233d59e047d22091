//! Keeps work within time and memory, whatever it does: threads apart that may be left behind ([`Engine`]), a watch over
//! the whole process ([`Watch`]), and a process apart that may die alone ([`Apart`]). Knows no SQL and no table, prints
//! nothing.
//!
//! Work on an [`Engine`] that passes its time is cancelled where it next yields; what never yields keeps its thread until
//! it ends. Only the end of a process stops that, and gives its memory back: a command ends itself by a [`Watch`], what
//! people wrote and a long-lived process must survive runs [`Apart`].

mod apart;
mod engine;
mod memory;
mod watch;

pub use apart::{Apart, Ended};
pub use engine::{Engine, Stopped};
pub use memory::{bound, in_use};
pub use watch::{Bounds, Breach, Watch};

/// The code with which a process ends that passed its memory.
pub const OUT_OF_MEMORY: u8 = 97;
