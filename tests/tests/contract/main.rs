//! The API against its own document: every row is served and nothing else, whatever a judge that generates requests from the
//! document sends is answered as the document says, and a request that comes again has no effect of its own.
//!
//! Every test starts a deployment of its own. Start reading at [`rows`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod console;
mod judged;
mod profiles;
mod repeated;
mod rows;
