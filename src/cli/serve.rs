//! `kvaudit serve`: the API and the page, on loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use super::context::{Context, now};
use super::{Outcome, WrongUse, note};
use crate::config;
use crate::serve::{self, AppState};
use crate::state::State;
use crate::store::Access;

/// Where to listen, shared by `run` and `serve`.
#[derive(Debug, Clone, Args)]
pub struct Listen {
    /// Address to listen on; only loopback addresses until there is authentication [default: 127.0.0.1:8474].
    #[arg(long, value_name = "ADDR", value_parser = config::address)]
    listen: Option<SocketAddr>,
}

impl Listen {
    /// Checks the address and takes the port.
    pub async fn bind(&self, context: &Context) -> anyhow::Result<TcpListener> {
        let address = self.listen.unwrap_or(context.config.listen);
        serve::check_listen(address).map_err(|e| WrongUse(e.to_string()))?;
        TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: choose another port with --listen, or end what uses this one")
        })
    }
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    listen: Listen,
}

pub async fn serve(context: &Context, args: ServeArgs) -> anyhow::Result<Outcome> {
    let listener = args.listen.bind(context).await?;
    let store = context.store(Access::Existing).await?;
    let state = context.state_to_read(&store).await?;
    until_stopped(state, listener).await?;
    Ok(Outcome::Done)
}

/// Serves until SIGINT or SIGTERM, then finishes what is in flight.
pub async fn until_stopped(state: State, listener: TcpListener) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    note(&format!("serving http://{address}/ (stop with Ctrl-C)"));
    let app = AppState { state, clock: Arc::new(now), listen: address };
    serve::serve(listener, app, stop_signal()).await?;
    Ok(())
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .expect("a signal handler can be installed once at start");
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
}
