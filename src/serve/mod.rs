//! The HTTP API and the page. To come.
