//! What somebody does who wants what is not theirs: forged tokens, stolen proofs, names that are queries, floods.
//!
//! Each attack is a row: a name, a request, and the status and code that it must end with. Start reading at [`tokens`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod elsewhere;
mod floods;
mod forge;
mod names;
mod proofs;
mod rows;
mod tokens;
