//! How long a detection may take, as an extension of the session that it is asked in. One that passes it fails by name, and
//! the others go on.

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::{DetectionError, Place, Rule};
use crate::alert::Finding;
use crate::limit::{Engine, Stopped};

/// The longest time that one detection takes for the period it is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTime(pub Duration);

impl Default for RuleTime {
    /// Ten minutes: a built-in detection takes seconds for a million records.
    fn default() -> Self {
        RuleTime(Duration::from_secs(600))
    }
}

impl RuleTime {
    /// The same session, whose detections take no longer.
    pub fn session(self, ctx: &SessionContext) -> SessionContext {
        let mut builder = SessionStateBuilder::new_from_existing(ctx.state());
        // Within the builder: a configuration from outside would have it make an empty catalog.
        if let Some(config) = builder.config() {
            config.set_extension(Arc::new(self));
        }
        SessionContext::new_with_state(builder.build())
    }

    /// Of a session; the default if nobody chose.
    pub(super) fn chosen(ctx: &SessionContext) -> Self {
        ctx.state().config().get_extension::<Self>().map_or_else(Self::default, |time| *time)
    }

    /// The answer of one detection on an engine's threads, within its time; its panic is its failure alone.
    pub(super) async fn hold(
        self,
        engine: &Engine,
        rule: &Rule,
        asked: impl Future<Output = Result<Vec<Finding>, DetectionError>> + Send + 'static,
    ) -> Result<Vec<Finding>, DetectionError> {
        let stopped = match engine.within(self.0, asked).await {
            Ok(answer) => return answer,
            Err(stopped) => stopped,
        };
        let message = match stopped {
            Stopped::Time(time) => late(time),
            Stopped::Panic => "the query engine failed within (-v shows its message): ask about less time".to_owned(),
        };
        Err(DetectionError::Run { place: Place::file(&rule.path), message })
    }
}

/// What a person reads about a detection that passed its time.
pub fn late(time: Duration) -> String {
    let time = humantime::format_duration(time);
    format!("it took longer than {time} and was stopped: ask about less time, or allow it more with --rule-timeout")
}
