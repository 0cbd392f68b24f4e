//! `trivy:db` and `trivy:java-db`: databases that the real Trivy loads.
//!
//! A part turns its records into rows and stages them as sorted *runs*. Assemble fetches the runs, merges them in as many passes as
//! their number asks for, and feeds the merged row of all parts to the writer of the database; memory holds a frame of each run that
//! is open and never the database. What the rows mean is `export_trivy`'s business.

mod assemble;
mod database;
mod error;
mod merge;
mod pack;
mod part;
mod pulse;
mod readme;
mod run;

use std::sync::Arc;

use export_contract::message::{PartAdapted, PartsResolved, RunAdapted};
use export_contract::profile::ProfileKind;
use export_pipeline::StageContext;
use export_pipeline::stage::PartResolved;
use export_trivy::{Record, Row};
use futures::FutureExt as _;
use futures::future::BoxFuture;

pub use error::TrivyError;

use crate::adapter::{Adapter, Tools};
use crate::error::AdaptError;

/// Turns a record into rows.
type Map = fn(&Record<'_>, &mut dyn FnMut(Row));

/// The adapter of one of the two databases.
#[derive(Clone, Debug)]
pub(crate) struct Trivy {
    tools: Tools,
    kind: Database,
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// Vulnerabilities, a bbolt file.
    Vulnerabilities,
    /// Java archives, an SQLite file.
    Archives,
}

impl Trivy {
    pub(crate) fn vulnerabilities(tools: &Tools) -> Arc<dyn Adapter> {
        Arc::new(Self { tools: tools.clone(), kind: Database::Vulnerabilities })
    }

    pub(crate) fn archives(tools: &Tools) -> Arc<dyn Adapter> {
        Arc::new(Self { tools: tools.clone(), kind: Database::Archives })
    }
}

impl Database {
    fn map(self) -> Map {
        match self {
            Self::Vulnerabilities => |record, out| export_trivy::Mapper.map(record, out),
            Self::Archives => |record, out| export_trivy::java::Mapper.map(record, out),
        }
    }
}

impl Adapter for Trivy {
    fn kind(&self) -> ProfileKind {
        match self.kind {
            Database::Vulnerabilities => ProfileKind::TrivyDb,
            Database::Archives => ProfileKind::TrivyJavaDb,
        }
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn adapt_part<'a>(
        &'a self,
        input: PartResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<PartAdapted, AdaptError>> {
        part::write(&self.tools, self.kind.map(), input, cx).boxed()
    }

    fn assemble<'a>(
        &'a self,
        input: PartsResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<RunAdapted, AdaptError>> {
        assemble::join(&self.tools, self.kind, input, cx).boxed()
    }
}
