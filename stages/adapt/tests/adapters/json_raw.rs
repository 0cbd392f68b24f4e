//! `json:raw`: the same bytes whatever the threads, batches, crashes and repeats.

mod damage;
mod files;
mod interruptions;
pub(crate) mod memory;
mod readers;
