//! What a stage is.

use std::future::Future;
use std::sync::Arc;

use export_contract::PartIndex;
use export_contract::message::{
    AdapterRef, ManifestWritten, Part, PartAdapted, PartsResolved, RunAdapted, RunAdmitted, RunDistributed, RunPlanned,
    RunRequest, RunSigned, Summary,
};
use export_contract::profile::ProfileKind;
use export_contract::run::Phase;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::StageContext;
use crate::verdict::Judged;

/// One step of an export run.
///
/// The broker may deliver a command twice, to two workers at once, or again after a crash in the middle. So
/// `handle` must give the same output for the same input, and leave nothing behind that a second call would trip
/// over. Effects on staging are content-addressed; other effects need the receiver's own idempotency key.
pub trait Stage: Send + Sync + 'static {
    /// The phase this stage is.
    const PHASE: Phase;
    /// What it takes.
    type Input: StageInput;
    /// What it gives; written as its result record.
    type Output: Done;
    /// How it fails.
    type Error: Judged;

    /// Does the step. Looks at [`StageContext::check`] between chunks, and reports progress, without which the host
    /// takes it for stuck and lets another worker try.
    fn handle(
        &self,
        input: Self::Input,
        cx: &StageContext,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

/// Why a command's result record is not this stage's input.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableInput {
    /// The record is not what this build reads.
    #[error("the result record of the stage before cannot be read")]
    Parse(#[source] serde_json::Error),
    /// The command names a part that the record does not have, or none where one is needed.
    #[error("the command names part {part:?}, the record has {parts}")]
    NoSuchPart {
        /// What the command says.
        part: Option<PartIndex>,
        /// How many there are.
        parts: usize,
    },
}

/// What can be read from the result record of the stage before.
pub trait StageInput: Sized + Send {
    /// The record, parsed. The inputs of many commands may be in one.
    type Record: Send + Sync + 'static;

    /// Parses `record`.
    ///
    /// # Errors
    /// When it is not of this type or version.
    fn parse(record: &[u8]) -> Result<Self::Record, UnreadableInput>;

    /// Takes from the record what a command is about; `part` is what the command names.
    ///
    /// # Errors
    /// When the record has no such part.
    fn take(record: Arc<Self::Record>, part: Option<PartIndex>) -> Result<Self, UnreadableInput>;

    /// What logs and traces say of the run that the record is about; `None` for a record that is of no run.
    fn about(_record: &Self::Record) -> Option<About<'_>> {
        None
    }
}

/// What logs and traces say of a run, whatever its stage.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Who asked, and what the spans of the run hang below.
    pub request: &'a RunRequest,
    /// Which bundle it makes.
    pub profile_kind: ProfileKind,
    /// The adapter that writes it; none before plan has chosen it.
    pub adapter: Option<&'a AdapterRef>,
}

impl<'a> About<'a> {
    fn plan(plan: &'a RunPlanned) -> Self {
        Self { request: &plan.request, profile_kind: plan.profile.kind, adapter: Some(&plan.adapter) }
    }
}

macro_rules! whole_record {
    ($($name:ty: $about:expr),+) => {$(
        impl StageInput for $name {
            type Record = Self;

            fn parse(record: &[u8]) -> Result<Self, UnreadableInput> {
                serde_json::from_slice(record).map_err(UnreadableInput::Parse)
            }

            fn take(record: Arc<Self>, _part: Option<PartIndex>) -> Result<Self, UnreadableInput> {
                Ok(Arc::unwrap_or_clone(record))
            }

            fn about(record: &Self) -> Option<About<'_>> {
                let about: fn(&Self) -> About<'_> = $about;
                Some(about(record))
            }
        }
    )+};
}

whole_record!(
    RunAdmitted: |record| About { request: &record.request, profile_kind: record.profile.kind, adapter: None },
    RunPlanned: |record| About::plan(record),
    PartsResolved: |record| About::plan(&record.plan),
    RunAdapted: |record| About::plan(&record.plan),
    ManifestWritten: |record| About::plan(&record.plan),
    RunSigned: |record| About::plan(&record.manifest.plan)
);

/// One part of a resolved run: the input of adapt.
#[derive(Clone, Debug)]
pub struct PartResolved {
    /// The plan.
    pub plan: RunPlanned,
    /// The part to write.
    pub part: Part,
}

impl StageInput for PartResolved {
    type Record = PartsResolved;

    fn parse(record: &[u8]) -> Result<PartsResolved, UnreadableInput> {
        serde_json::from_slice(record).map_err(UnreadableInput::Parse)
    }

    fn about(record: &PartsResolved) -> Option<About<'_>> {
        Some(About::plan(&record.plan))
    }

    fn take(record: Arc<PartsResolved>, part: Option<PartIndex>) -> Result<Self, UnreadableInput> {
        let parts = &record.parts;
        let found = part.and_then(|part| parts.get(usize::try_from(part.0).ok()?));
        match found {
            Some(part) => Ok(Self { plan: record.plan.clone(), part: part.clone() }),
            None => Err(UnreadableInput::NoSuchPart { part, parts: parts.len() }),
        }
    }
}

/// What a stage gives: how it is told to the recorder, and whether the next stage takes it in parts.
pub trait Done: Serialize + DeserializeOwned + Send + Sync {
    /// Counts for the `done` event.
    fn summary(&self) -> Summary {
        Summary::default()
    }

    /// The number of parts to fan out to; `None` for a stage that does not fan out.
    fn fan_out(&self) -> Option<u32> {
        None
    }
}

impl Done for RunPlanned {}

impl Done for PartsResolved {
    fn summary(&self) -> Summary {
        Summary { records: Some(self.parts.iter().map(|part| part.records).sum()), bytes: None }
    }

    fn fan_out(&self) -> Option<u32> {
        u32::try_from(self.parts.len()).ok()
    }
}

impl Done for PartAdapted {
    fn summary(&self) -> Summary {
        Summary { records: Some(self.records), bytes: Some(self.plain_bytes) }
    }
}

impl Done for RunAdapted {
    fn summary(&self) -> Summary {
        Summary {
            records: Some(self.files.iter().filter_map(|file| file.records).sum()),
            bytes: Some(self.files.iter().map(|file| file.artefact.bytes).sum()),
        }
    }
}

impl Done for ManifestWritten {
    fn summary(&self) -> Summary {
        Summary { records: Some(self.records), bytes: Some(self.bundle.bytes) }
    }
}

impl Done for RunSigned {}

impl Done for RunDistributed {}
